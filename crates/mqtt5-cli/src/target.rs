//! Which server, and what else stands without a flag.

use crate::problem::Problem;

/// The name of the variable that holds the URL when none is given.
pub(crate) const URL_VARIABLE: &str = "MQTT_URL";

/// The URL that is given first or by `MQTT_URL`, and the arguments after it.
///
/// An argument with `://` in it is the URL; a topic that has this in its name needs the URL in front.
pub(crate) fn split(
    arguments: &[String],
    variable: Option<String>,
) -> Result<(String, &[String]), Problem> {
    match (arguments.split_first(), variable) {
        (Some((url, rest)), _) if url.contains("://") => Ok((url.clone(), rest)),
        (_, Some(url)) => Ok((url, arguments)),
        (Some((first, _)), None) => Err(Problem::usage(format!("`{first}` is no URL of a server"))
            .hint("write it as mqtt://host or mqtt://host:port, or set MQTT_URL")),
        (None, None) => Err(Problem::usage("no server was named")
            .hint("give its URL first, as mqtt://host, or set MQTT_URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_url_comes_first_or_from_the_environment() {
        let variable = || Some("mqtt://env".to_owned());
        let table = [
            (
                &["mqtt://h", "a", "b"][..],
                None,
                "mqtt://h",
                &["a", "b"][..],
            ),
            (&["mqtt://h", "a"], variable(), "mqtt://h", &["a"]),
            (&["a", "b"], variable(), "mqtt://env", &["a", "b"]),
            (&[], variable(), "mqtt://env", &[]),
        ];
        for (arguments, variable, url, rest) in table {
            let arguments = strings(arguments);
            let found = split(&arguments, variable).unwrap();
            assert_eq!(found, (url.to_owned(), &strings(rest)[..]));
        }
        assert!(split(&strings(&["localhost:1883", "a"]), None).is_err());
        assert!(split(&[], None).is_err());
    }
}
