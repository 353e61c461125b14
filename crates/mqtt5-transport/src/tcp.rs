//! The options of a TCP socket.

use core::time::Duration;
use socket2::{SockRef, TcpKeepalive};
use std::io;

use crate::TcpSettings;

impl TcpSettings {
    /// Sets the options on a connected socket, before anything is sent.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn apply<'s>(&self, socket: impl Into<SockRef<'s>>) -> io::Result<()> {
        let socket = socket.into();
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(silence) = self.keepalive {
            let silence = silence.clamp(Duration::from_secs(1), LONGEST_SILENCE);
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence))?;
        }
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        if let Some(timeout) = self.user_timeout {
            let timeout = timeout.clamp(Duration::from_millis(1), LONGEST_TIMEOUT);
            socket.set_tcp_user_timeout(Some(timeout))?;
        }
        Ok(())
    }
}

/// What Linux takes; others take more.
const LONGEST_SILENCE: Duration = Duration::from_secs(32_767);
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const LONGEST_TIMEOUT: Duration = Duration::from_millis(2_147_483_647);

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    #[test]
    fn what_is_asked_for_is_set() {
        let unset = applied(|_| {});
        assert!(unset.tcp_nodelay().expect("an option"));
        assert!(!unset.keepalive().expect("an option"));
        let set = applied(|tcp| {
            tcp.nodelay = false;
            tcp.keepalive = Some(Duration::MAX);
            tcp.user_timeout = Some(Duration::MAX);
        });
        assert!(!set.tcp_nodelay().expect("an option"));
        assert!(set.keepalive().expect("an option"));
        #[cfg(target_os = "linux")]
        {
            assert_eq!(unset.tcp_user_timeout().expect("an option"), None);
            assert!(set.tcp_user_timeout().expect("an option").is_some());
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_time_that_the_system_does_not_take_becomes_the_nearest_that_it_takes() {
        let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
        for (asked, expected) in [
            (Duration::ZERO, 1),
            (999 * millisecond, 1),
            (second, 1),
            (7_999 * millisecond, 7),
            (32_767 * second, 32_767),
            (32_768 * second, 32_767),
            (Duration::MAX, 32_767),
        ] {
            let socket = applied(|tcp| tcp.keepalive = Some(asked));
            let silence = socket.tcp_keepalive_time().expect("an option");
            assert_eq!(silence, expected * second, "{asked:?}");
        }
        for (asked, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(999), 1),
            (millisecond, 1),
            (Duration::from_micros(9_999), 9),
            (2_147_483_647 * millisecond, 2_147_483_647),
            (2_147_483_648 * millisecond, 2_147_483_647),
            (Duration::MAX, 2_147_483_647),
        ] {
            let socket = applied(|tcp| tcp.user_timeout = Some(asked));
            let timeout = socket.tcp_user_timeout().expect("an option");
            assert_eq!(timeout, Some(expected * millisecond), "{asked:?}");
        }
    }

    fn applied(change: impl FnOnce(&mut TcpSettings)) -> Socket {
        let mut settings = TcpSettings::default();
        change(&mut settings);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        settings.apply(&socket).expect("the system takes them");
        socket
    }
}
