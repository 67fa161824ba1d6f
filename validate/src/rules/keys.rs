//! `duplicate-key`: each public key belongs to one user or node. A token names its key by the
//! fingerprint alone, so a key with two owners would make its bearer both.

use std::collections::BTreeMap;

use almanac_schemas::PublicKey;

use super::{Context, Draft, Place};
use crate::Rule;

pub(super) fn check(context: &Context<'_>, drafts: &mut Vec<Draft>) {
    let users = context
        .whole_users()
        .map(|(user, place)| ("user", user.metadata.name.as_str(), user.spec.keys.as_slice(), place));
    let nodes = context
        .whole_nodes()
        .map(|(node, place)| ("node", node.metadata.name.as_str(), node.spec.keys.as_slice(), place));
    let mut owners: Vec<_> = users.chain(nodes).collect();
    owners.sort_by_key(|(.., place)| (place.file, place.spot.document));

    let mut first: BTreeMap<[u8; 32], (String, Place)> = BTreeMap::new();
    for (kind, name, keys, place) in owners {
        for (index, key) in keys.iter().enumerate() {
            let place = place.key("spec").key("keys").index(index);
            let owner = format!("{kind} `{name}`");
            match first.get(PublicKey::as_bytes(key)) {
                None => drop(first.insert(*key.as_bytes(), (owner, place))),
                Some((other, earlier)) => {
                    let draft = |message: String| {
                        Draft::new(Rule::DuplicateKey, place, message)
                            .related(format!("{other} has it here"), earlier.clone())
                    };
                    drafts.push(if *other == owner {
                        draft(format!("the {owner} lists the same key twice")).help("remove one of the two")
                    } else {
                        draft(format!("the key of {other} is also that of {owner}"))
                            .note("a key says who one is: whoever has this one would be both")
                            .help("give each its own key")
                    });
                }
            }
        }
    }
}
