//! JSON on one line, with the members in the order in which they were added.

use std::fmt;

use serde_json::Value;

/// A JSON object under construction; its `Display` is the text.
#[derive(Debug, Default)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub(crate) fn with(self, name: &str, value: impl Into<Value>) -> Self {
        self.member(name, &value.into().to_string())
    }

    /// Adds a member when there is a value.
    pub(crate) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a member that is an object.
    pub(crate) fn with_object(self, name: &str, value: &Self) -> Self {
        self.member(name, &value.to_string())
    }

    /// Adds a member that is a list of objects.
    pub(crate) fn with_objects(self, name: &str, values: &[Self]) -> Self {
        let values: Vec<String> = values.iter().map(Self::to_string).collect();
        self.member(name, &format!("[{}]", values.join(",")))
    }

    /// Adds pairs as a list of lists, which keeps their order and repeated names; nothing when there are none.
    pub(crate) fn with_pairs<'a>(
        self,
        name: &str,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let pairs: Vec<Value> = pairs
            .map(|(name, value)| [name, value].to_vec().into())
            .collect();
        self.with_some(name, (!pairs.is_empty()).then_some(pairs))
    }

    fn member(mut self, name: &str, value: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&Value::from(name).to_string());
        self.text.push(':');
        self.text.push_str(value);
        self
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_text_is_escaped() {
        let inner = Object::new().with("b", true);
        let object = Object::new()
            .with("z", "a\"\u{1b}\n")
            .with_some("absent", None::<u8>)
            .with_pairs("none", std::iter::empty())
            .with_pairs("pairs", [("k", "2"), ("k", "1")].into_iter())
            .with_objects("list", &[Object::new(), Object::new().with("n", 1.5)])
            .with_object("a", &inner);
        let text = object.to_string();
        assert_eq!(
            text,
            r#"{"z":"a\"\u001b\n","pairs":[["k","2"],["k","1"]],"list":[{},{"n":1.5}],"a":{"b":true}}"#
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
