//! The signature of a commit: what it is over, and by which key.
//!
//! Git puts the armoured signature into the header `gpgsig` of the commit object, each further line after
//! a space. What is signed is the object without this header. The signature is one of PROTOCOL.sshsig
//! (OpenSSH), with the namespace `git`.
//!
//! The object is read strictly, by itself and not through libgit2, whose reader looks for the header in the
//! message too and takes a NUL byte for the end: what is verified must be what everybody else reads.

use almanac_schemas::{KeyError, PublicKey};
use ssh_key::SshSig;

use super::refusal::Refusal;

/// What signatures of commits are for.
const NAMESPACE: &str = "git";

/// The key that signed a commit object. Its signature is valid; whose it is, is another question.
pub(super) fn signing_key(object: &[u8]) -> Result<PublicKey, Refusal> {
    let Parts { signed, signature } = split(object)?;
    match signature.lines().next() {
        Some("-----BEGIN SSH SIGNATURE-----") => {}
        Some("-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----") => {
            return Err(Refusal::Foreign("OpenPGP"));
        }
        Some("-----BEGIN SIGNED MESSAGE-----") => return Err(Refusal::Foreign("X.509")),
        _ => return Err(Refusal::Unreadable),
    }
    let signature = SshSig::from_pem(signature).map_err(|_| Refusal::Unreadable)?;
    let key = ssh_key::PublicKey::from(signature.public_key().clone());
    let declared = PublicKey::from_ssh(key.clone()).map_err(|error| match error {
        KeyError::Algorithm(algorithm) => Refusal::Algorithm(algorithm),
        KeyError::Form(_) | KeyError::Private => Refusal::Unreadable,
    })?;
    if signature.namespace() != NAMESPACE {
        return Err(Refusal::Namespace(signature.namespace().escape_default().take(64).collect()));
    }
    key.verify(NAMESPACE, &signed, &signature).map_err(|_| Refusal::Broken(declared.fingerprint()))?;
    Ok(declared)
}

struct Parts {
    signed: Vec<u8>,
    signature: String,
}

/// Takes the signature out of a commit object.
fn split(object: &[u8]) -> Result<Parts, Refusal> {
    if object.contains(&0) {
        return Err(Refusal::Nul);
    }
    let mut signed = Vec::with_capacity(object.len());
    let mut signature: Option<Vec<u8>> = None;
    let mut within = false;
    let mut rest = object;
    // An empty line ends the headers. What the message says is no header.
    while !rest.is_empty() && rest[0] != b'\n' {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        if let (true, Some(more), Some(signature)) = (within, line.strip_prefix(b" "), &mut signature) {
            signature.extend_from_slice(more);
            continue;
        }
        within = false;
        if let Some(first) = line.strip_prefix(b"gpgsig") {
            // `gpgsig-sha256` is that of the same commit by another hash.
            let first = first.strip_prefix(b" ").filter(|_| signature.is_none()).ok_or(Refusal::Several)?;
            signature = Some(first.to_vec());
            within = true;
        } else {
            signed.extend_from_slice(line);
        }
    }
    signed.extend_from_slice(rest);
    let signature =
        String::from_utf8(signature.ok_or(Refusal::Unsigned)?).map_err(|_| Refusal::Unreadable)?;
    Ok(Parts { signed, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a> 0 +0000\n";

    #[test]
    fn takes_out_the_header_and_nothing_of_the_message() {
        let message = "\nsubject\n\ngpgsig in the text\n";
        let parts = split(format!("{HEAD}gpgsig one\n two\nencoding x\n{message}").as_bytes()).unwrap();
        assert_eq!(String::from_utf8(parts.signed).unwrap(), format!("{HEAD}encoding x\n{message}"));
        assert_eq!(parts.signature, "one\ntwo\n");
    }

    #[test]
    fn refuses_what_programs_might_read_differently() {
        let refused = |object: &str| split(object.as_bytes()).err().unwrap();
        assert_eq!(refused(&format!("{HEAD}\nsubject\n\ngpgsig one\n two\n")), Refusal::Unsigned);
        assert_eq!(refused(&format!("{HEAD}gpgsig one\ngpgsig two\n\nsubject\n")), Refusal::Several);
        assert_eq!(refused(&format!("{HEAD}gpgsig one\ngpgsig-sha256 two\n\nsubject\n")), Refusal::Several);
        assert_eq!(refused(&format!("{HEAD}gpgsig one\n\nsubject\0\n")), Refusal::Nul);
        assert_eq!(refused(""), Refusal::Unsigned);
    }

    #[test]
    fn says_what_kind_of_signature_it_is() {
        let refused = |signature: &str| {
            let object = format!("{HEAD}gpgsig {}\n\nsubject\n", signature.replace('\n', "\n "));
            signing_key(object.as_bytes()).unwrap_err()
        };
        assert_eq!(refused("-----BEGIN PGP SIGNATURE-----\n\nabc"), Refusal::Foreign("OpenPGP"));
        assert_eq!(refused("-----BEGIN SIGNED MESSAGE-----\nabc"), Refusal::Foreign("X.509"));
        assert_eq!(refused("-----BEGIN SSH SIGNATURE-----\nabc"), Refusal::Unreadable);
        assert_eq!(refused("nonsense"), Refusal::Unreadable);
    }
}
