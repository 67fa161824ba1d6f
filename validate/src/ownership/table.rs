//! The fields that somebody who is no admin may change of what is theirs.

/// A field of a `spec`, and whether its owner may change it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field, by its name in the `spec`.
    pub name: &'static str,
    /// Whether the owner may change it.
    pub owner: bool,
    /// Why, or why not.
    pub reason: &'static str,
}

const fn may(name: &'static str, reason: &'static str) -> Field {
    Field { name, owner: true, reason }
}

const fn may_not(name: &'static str, reason: &'static str) -> Field {
    Field { name, owner: false, reason }
}

/// A user's own manifest.
pub const USER: &[Field] = &[
    may("displayName", "it is how they want to be called"),
    may("keys", "whoever loses a key must be able to revoke it at once"),
    may_not("email", "others reach them there, and it identifies them"),
    may_not("team", "it decides which nodes admit them"),
    may_not("role", "it decides what they may do"),
    may_not("login", "it decides whose changes count as theirs"),
];

/// A node, for the user who owns it.
pub const NODE: &[Field] = &[
    may("cordoned", "an owner may cordon their node"),
    may("maintenance", "an owner knows when their host is worked on, and may drain it for that"),
    may("uploadRate", "it is their link, and results arrive all the same"),
    may("displayName", "it is for people alone"),
    may("description", "it is for people alone"),
    may_not("owner", "it decides who may do all this"),
    may_not("role", "it decides whether jobs may change kernel settings"),
    may_not("location", "measurements are interpreted by it"),
    may_not("coordinates", "measurements are interpreted by them, and the weather is looked up at them"),
    may_not("provider", "measurements are interpreted by it"),
    may_not("keys", "whoever holds one is the node"),
    may_not("address", "servers are reached there by the jobs of others"),
    may_not("access", "it decides who may schedule there"),
    may_not(
        "limits",
        "jobs of others were accepted within them; the host's own configuration may narrow them",
    ),
    may_not("guard", "it lengthens the reservations of everybody's jobs"),
    may_not("hostNetwork", "it decides what jobs see of the host"),
    may_not("kernel", "it decides what jobs may change"),
    may_not("telemetry", "triggers of everybody's jobs depend on it"),
];

/// Whether an owner may change a field. What is not in the table they may not.
pub(super) fn permits(table: &[Field], field: &str) -> bool {
    table.iter().any(|entry| entry.owner && entry.name == field)
}

/// The fields that an owner may change.
pub(super) fn permitted(table: &'static [Field]) -> impl Iterator<Item = &'static str> {
    table.iter().filter(|entry| entry.owner).map(|entry| entry.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use almanac_schemas::{Kind, json_schema};

    use super::*;

    /// A field that is added to a manifest has to be decided on here.
    #[test]
    fn the_tables_name_every_field() {
        for (kind, table, name) in [(Kind::User, USER, "UserSpec"), (Kind::Node, NODE, "NodeSpec")] {
            let schema = json_schema::of(kind);
            let properties = schema.as_value().pointer(&format!("/$defs/{name}/properties")).unwrap();
            let fields: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
            let listed: BTreeSet<&str> = table.iter().map(|field| field.name).collect();
            assert_eq!(listed, fields, "{kind}");
            assert_eq!(listed.len(), table.len(), "{kind}");
        }
    }
}
