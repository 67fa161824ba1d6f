//! Ed25519 for `jsonwebtoken` (RFC 8037), and nothing else.
//!
//! The library's own providers bring a second implementation of every algorithm. This one knows
//! EdDSA alone, through the implementation that SSH keys use already, so that no token of another
//! algorithm can ever be accepted.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{Error as SignatureError, Signer, Verifier},
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this the process's provider. Every use of the library in this crate comes by here first.
pub(crate) fn install() {
    // It fails when it is installed already, which is as good.
    let _ = PROVIDER.install_default();
}

/// The key that signs, from its 32-byte seed (RFC 8032, section 5.1.5).
pub(crate) fn encoding_key(seed: &[u8; 32]) -> EncodingKey {
    EncodingKey::from_ed_der(seed)
}

/// The key that verifies, from its 32 bytes.
pub(crate) fn decoding_key(public: &[u8; 32]) -> DecodingKey {
    DecodingKey::from_ed_der(public)
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let seed: &[u8; 32] = key.as_bytes().try_into().map_err(|_| ErrorKind::InvalidEddsaKey)?;
    match algorithm {
        Algorithm::EdDSA => Ok(Box::new(EdDsaSigner(SigningKey::from_bytes(seed)))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = key.try_get_as_bytes()?.try_into().map_err(|_| ErrorKind::InvalidEddsaKey)?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    match algorithm {
        Algorithm::EdDSA => Ok(Box::new(EdDsaVerifier(key))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct EdDsaSigner(SigningKey);

impl Signer<Vec<u8>> for EdDsaSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let signature: Signature = self.0.try_sign(message)?;
        Ok(signature.to_vec())
    }
}

impl JwtSigner for EdDsaSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct EdDsaVerifier(VerifyingKey);

impl Verifier<Vec<u8>> for EdDsaVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        // Strict: no second signature of the same message is valid under a weak key.
        self.0.verify_strict(message, &Signature::from_slice(signature)?)
    }
}

impl JwtVerifier for EdDsaVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
