//! The server's token.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Fewest characters of a token: 16 hex digits are 64 bits.
const MIN_LENGTH: usize = 16;

/// What browsers get in place of the token is made from it with this; a change logs everyone out.
const SESSION_PURPOSE: &[u8] = b"pitviper session 1\0";

/// The token cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It can be guessed.
    #[error("the token is shorter than {MIN_LENGTH} characters; make one with `openssl rand -hex 24`")]
    TooShort,
    /// It cannot be sent in a header.
    #[error("the token may only hold printable ASCII characters without spaces")]
    NotPrintable,
}

/// The token, as digests: the text itself is not kept, and comparing takes equally long whatever is
/// compared.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
    session: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Takes a token; white space around it does not count.
    ///
    /// # Errors
    /// When it is too short, or cannot be sent in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() < MIN_LENGTH {
            return Err(TokenError::TooShort);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NotPrintable);
        }
        let session = Sha256::new().chain_update(SESSION_PURPOSE).chain_update(text).finalize();
        Ok(Self { digest: Sha256::digest(text).into(), session: session.into() })
    }

    /// Whether this is the token.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        let candidate: [u8; 32] = Sha256::digest(candidate).into();
        self.digest.ct_eq(&candidate).into()
    }

    /// What a browser that has logged in sends. It does not tell the token.
    pub(crate) fn session(&self) -> String {
        self.session.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn matches_session(&self, candidate: &str) -> bool {
        self.session().as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_weak_tokens_and_shows_none() {
        assert_eq!(Token::new("short").unwrap_err(), TokenError::TooShort);
        assert_eq!(Token::new("with a space inside it").unwrap_err(), TokenError::NotPrintable);
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeg"));
        assert!(!format!("{token:?}").contains("0123"));
        assert!(token.matches_session(&token.session()));
        assert!(!token.matches_session("0123456789abcdef"));
    }
}
