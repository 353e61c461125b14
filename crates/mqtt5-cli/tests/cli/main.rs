//! The built command, against the embedded broker, Mosquitto and peers that misbehave.

mod broker;
mod common;
mod demo;
mod exit_codes;
mod liar;
mod publish;
mod signals;
mod startup;
mod subscribe;
mod terminal;
