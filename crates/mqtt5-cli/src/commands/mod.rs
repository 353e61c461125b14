//! What the commands do: one file for each.

mod broker;
mod demo;
mod publish;
mod subscribe;

pub(crate) use broker::run as broker;
pub(crate) use demo::run as demo;
pub(crate) use publish::run as publish;
pub(crate) use subscribe::run as subscribe;
