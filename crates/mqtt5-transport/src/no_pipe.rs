//! What stands for [`Pipe`] in a build without any transport that needs one.

use crate::StackError;
use std::io::IoSlice;

/// Nothing: the bytes of the socket are the bytes of MQTT.
#[derive(Debug)]
pub enum Pipe {}

#[expect(missing_docs, reason = "there is none to call them on")]
impl Pipe {
    pub fn is_open(&self) -> bool {
        match *self {}
    }

    pub fn receive(&mut self, _: &[u8]) -> Result<(), StackError> {
        match *self {}
    }

    pub fn read(&mut self, _: &mut [u8]) -> Result<usize, StackError> {
        match *self {}
    }

    pub fn write(&mut self, _: &[IoSlice<'_>]) -> Result<usize, StackError> {
        match *self {}
    }

    pub fn close(&mut self) {
        match *self {}
    }

    pub fn pending(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn written(&self, _: usize, _: &mut usize) -> usize {
        match *self {}
    }

    pub fn sent(&mut self, _: usize) {
        match *self {}
    }
}
