//! Who the reconciler takes one for.

use serde::Serialize;

use almanac_proto::v1;

use crate::{
    output::{Look, View},
    table::details,
    view,
};

/// Who the reconciler takes one for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The name.
    pub name: String,
    /// `user`, `privileged`, `admin` or `node`.
    pub role: String,
    /// The team.
    pub team: Option<String>,
    /// The fingerprint of the key that signed the token.
    pub key: String,
}

impl From<v1::WhoAmIResponse> for Identity {
    fn from(response: v1::WhoAmIResponse) -> Self {
        let v1::WhoAmIResponse { name, role, team, key } = response;
        Self { name, role, team: view::text(team), key }
    }
}

impl View for Identity {
    fn text(&self, look: Look) -> String {
        let pairs = vec![
            ("name", self.name.as_str().into()),
            ("role", self.role.as_str().into()),
            ("team", view::dash(self.team.as_deref()).into()),
            ("key", self.key.as_str().into()),
        ];
        details(pairs, look.style)
    }
}
