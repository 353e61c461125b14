//! The computation of RFC 5802, section 3, with SHA-256.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

type HmacSha256 = Hmac<Sha256>;
type Key = Zeroizing<[u8; 32]>;

/// A ServerSignature that is known and not yet shown; it is compared in constant time.
pub(super) struct ServerSignature(HmacSha256);

impl ServerSignature {
    pub(super) fn matches(self, signature: &[u8]) -> bool {
        self.0.verify_slice(signature).is_ok()
    }
}

/// The ClientProof that goes to the server, and the ServerSignature that must come back.
pub(super) fn prove(
    password: &str,
    salt: &[u8],
    iterations: u32,
    auth_message: &str,
) -> ([u8; 32], ServerSignature) {
    let mut salted_password = Key::default();
    pbkdf2::pbkdf2_hmac::<Sha256>(
        password.as_bytes(),
        salt,
        iterations,
        salted_password.as_mut(),
    );
    let client_key = finish(&hmac(&salted_password, "Client Key"));
    let stored_key = Key::new(Sha256::digest(client_key.as_slice()).into());
    let client_signature = finish(&hmac(&stored_key, auth_message));
    let mut proof = *client_key;
    for (byte, mask) in proof.iter_mut().zip(client_signature.iter()) {
        *byte ^= mask;
    }
    let server_key = finish(&hmac(&salted_password, "Server Key"));
    (proof, ServerSignature(hmac(&server_key, auth_message)))
}

/// HMAC of a text, not yet finished. A key that is shorter than a block is one with zeros after it.
fn hmac(key: &Key, text: &str) -> HmacSha256 {
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.iter()) {
        *to = *from;
    }
    let mut hmac = HmacSha256::new((&*block).into());
    hmac.update(text.as_bytes());
    hmac
}

fn finish(hmac: &HmacSha256) -> Key {
    let output = hmac.clone().finalize();
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(output.as_bytes()) {
        *to = *from;
    }
    key
}
