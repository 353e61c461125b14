//! The configuration file.

use std::fmt::Write as _;
use std::path::Path;

use super::Mosquitto;

/// What a [`Mosquitto`] is told in its configuration.
#[derive(Debug, Clone)]
pub struct MosquittoSettings {
    options: Vec<(String, String)>,
    persistent: bool,
    second_listener: Option<String>,
}

impl MosquittoSettings {
    /// Generous limits: Topic Alias Maximum 10, Receive Maximum 20, Maximum Packet Size 1,000,000, and a Server Keep
    /// Alive for clients that ask for more than 600 s.
    pub fn normal() -> Self {
        Self::of(&[
            ("max_topic_alias", "10"),
            ("max_inflight_messages", "20"),
            ("max_packet_size", "1000000"),
            ("max_keepalive", "600"),
        ])
    }

    /// Limits that it announces: Maximum QoS 1, no retained messages, Receive Maximum 3, Maximum Packet Size 400,
    /// Server Keep Alive 20, Topic Alias Maximum 2.
    pub fn tight() -> Self {
        Self::of(&[
            ("max_qos", "1"),
            ("retain_available", "false"),
            ("max_inflight_messages", "3"),
            ("max_packet_size", "400"),
            ("max_keepalive", "20"),
            ("max_topic_alias", "2"),
        ])
    }

    fn of(options: &[(&str, &str)]) -> Self {
        Self {
            options: options
                .iter()
                .map(|&(key, value)| (key.into(), value.into()))
                .collect(),
            persistent: false,
            second_listener: None,
        }
    }

    /// Keeps sessions and retained messages over a [`Mosquitto::restart`].
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Sets one more option, in the words of `mosquitto.conf`; it replaces an earlier value.
    pub fn option(mut self, key: &str, value: impl Into<String>) -> Self {
        self.options.retain(|(other, _)| other != key);
        self.options.push((key.into(), value.into()));
        self
    }

    /// Listens on a second port of the loopback interface too, with these lines in the words of `mosquitto.conf`, such as
    /// `protocol websockets`: see [`Mosquitto::second_addr`].
    pub fn second_listener(mut self, lines: impl Into<String>) -> Self {
        self.second_listener = Some(lines.into());
        self
    }

    /// Starts a broker.
    ///
    /// # Panics
    ///
    /// When Mosquitto is not installed or does not start.
    pub fn start(self) -> Mosquitto {
        Mosquitto::with(self)
    }

    /// The text of the configuration file for a broker on this port of the loopback interface.
    pub fn text(&self, port: u16, directory: &Path) -> String {
        let mut text = format!(
            "listener {port} 127.0.0.1\n\
             allow_anonymous true\n\
             user root\n\
             log_dest stderr\n\
             log_type all\n\
             persistence {}\n\
             persistence_location {}/\n",
            self.persistent,
            directory.display(),
        );
        for (key, value) in &self.options {
            let _ = writeln!(text, "{key} {value}");
        }
        text
    }

    /// What comes after it for the second listener, if there is one.
    pub(super) fn second_text(&self, port: u16) -> String {
        let lines = self.second_listener.iter();
        lines
            .map(|lines| format!("listener {port} 127.0.0.1\n{lines}\n"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_option_replaces_an_earlier_one() {
        let settings = MosquittoSettings::tight().option("max_qos", "0");
        let text = settings.text(1883, Path::new("/tmp"));
        assert!(
            text.contains("max_qos 0\n") && !text.contains("max_qos 1"),
            "{text}"
        );
        assert!(text.starts_with("listener 1883 127.0.0.1\n"), "{text}");
    }
}
