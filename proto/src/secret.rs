//! Messages that hold secrets, as logs may show them.

use std::fmt;

use crate::v1::SignedRequest;

/// What stands for a secret.
const HIDDEN: &str = "(secret)";

/// Shows what is asked and until when. Whoever reads the address, or the value of a header, could ask the same.
impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url: _, headers, expires_at } = self;
        let mut names: Vec<&String> = headers.keys().collect();
        names.sort_unstable();
        f.debug_struct("SignedRequest")
            .field("method", method)
            .field("url", &HIDDEN)
            .field("headers", &names)
            .field("expires_at", expires_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    fn request() -> SignedRequest {
        let secret = |name: &str| (name.to_owned(), "hunter2".to_owned());
        SignedRequest {
            method: "PUT".to_owned(),
            url: "https://hunter2:hunter2@store.example.org/hunter2?signature=hunter2#hunter2".to_owned(),
            headers: ["x-b", "x-a"].map(secret).into(),
            expires_at: Some(prost_types::Timestamp { seconds: 12, nanos: 0 }),
        }
    }

    #[test]
    fn a_signed_request_shows_what_it_does_and_no_secret() {
        let shown = format!("{:?}", request());
        let expected = "SignedRequest { method: \"PUT\", url: \"(secret)\", headers: [\"x-a\", \"x-b\"], \
                        expires_at: Some(Timestamp { seconds: 12, nanos: 0 }) }";
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_message_that_has_one_shows_more() {
        let granted = v1::GrantDownloadResponse { request: Some(request()), artifact: None };
        let part = v1::GrantPartResponse { offset: 0, request: Some(request()) };
        let shown = [format!("{granted:?}"), format!("{granted:#?}"), format!("{part:?}")];
        assert!(shown.iter().all(|shown| !shown.contains("hunter2")), "{shown:?}");
        assert!(shown[0].contains("(secret)"), "{shown:?}");
    }
}
