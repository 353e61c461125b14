//! What the system tells of its sockets.

use std::net::SocketAddr;

/// What Linux tells of each socket that a connection to this address has or will have: what follows the state that they are to be in.
pub(super) fn sockets(to: SocketAddr, state: &str) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux has it");
    let wanted = format!(":{:04X} {state} ", to.port());
    let rest = |line: &str| Some(line.split_once(&wanted)?.1.to_owned());
    table.lines().filter_map(rest).collect()
}

pub(super) const ESTABLISHED: &str = "01";
/// SYN was sent and not answered.
pub(super) const DIALING: &str = "02";
