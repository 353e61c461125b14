//! A SCRAM-SHA-256 server for tests, from the formulas of RFC 5802, section 3, and RFC 2104.

#![allow(dead_code, reason = "each test uses a part of it")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

type Key = [u8; 32];

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// What a server keeps of one user, and one exchange.
pub(crate) struct Server {
    salt: Vec<u8>,
    pub(crate) iterations: u32,
    stored_key: Key,
    server_key: Key,
    nonce: String,
    /// `gs2-header` in base64, as the client must repeat it.
    binding: String,
    /// The parts of AuthMessage that are known so far.
    auth_message: String,
}

impl Server {
    /// For a user with this password, after preparation.
    pub(crate) fn new(password: &str) -> Self {
        let (salt, iterations) = (b"a salt of the server".to_vec(), 4096);
        let salted_password = hi(password.as_bytes(), &salt, iterations);
        let client_key = hmac(&salted_password, b"Client Key");
        Self {
            salt,
            iterations,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted_password, b"Server Key"),
            nonce: String::new(),
            binding: String::new(),
            auth_message: String::new(),
        }
    }

    /// Takes the client-first-message of this user, gives the server-first-message.
    pub(crate) fn first(&mut self, client_first: &[u8], header: &str, username: &str) -> Vec<u8> {
        let text = core::str::from_utf8(client_first).unwrap();
        let bare = text.strip_prefix(header).expect(text);
        let (name, nonce) = bare.split_once(",r=").expect(text);
        assert_eq!(name, format!("n={username}"));
        assert!(!nonce.contains(','), "{nonce}");
        self.nonce = format!("{nonce}3rfcNHYJY1ZVvWVs7j");
        self.binding = encode(header.as_bytes());
        let first = format!(
            "r={},s={},i={}",
            self.nonce,
            encode(&self.salt),
            self.iterations
        );
        self.auth_message = format!("{bare},{first}");
        first.into_bytes()
    }

    /// Takes the client-final-message, gives the server-final-message; `Err` is one that refuses.
    pub(crate) fn last(&mut self, client_final: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        let text = core::str::from_utf8(client_final).unwrap();
        let (without_proof, proof) = text.split_once(",p=").expect(text);
        assert_eq!(
            without_proof,
            format!("c={},r={}", self.binding, self.nonce)
        );
        let auth_message = format!("{},{without_proof}", self.auth_message);
        let client_signature = hmac(&self.stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = decode(proof)
            .iter()
            .zip(client_signature)
            .map(|(proof, signature)| proof ^ signature)
            .collect();
        if Sha256::digest(client_key)[..] != self.stored_key {
            return Err(b"e=invalid-proof".to_vec());
        }
        let signature = hmac(&self.server_key, auth_message.as_bytes());
        Ok(format!("v={}", encode(&signature)).into_bytes())
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Key {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |mask: u8| block.map(|byte| byte ^ mask);
    let inner = Sha256::digest([&padded(0x36), message].concat());
    Sha256::digest([&padded(0x5C)[..], &inner].concat()).into()
}

fn hi(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut u = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut result = u;
    for _ in 1..iterations {
        u = hmac(password, &u);
        for (byte, mask) in result.iter_mut().zip(u) {
            *byte ^= mask;
        }
    }
    result
}
