//! Makes a node's key.

use almanac_proto::identity::{self, IdentityError};

use crate::cli::KeygenArgs;

/// Makes a key, prints the line for the node's manifest to standard output, and says on standard
/// error where the files are.
///
/// # Errors
///
/// When a file exists already or cannot be written.
pub fn run(args: &KeygenArgs) -> Result<(), IdentityError> {
    let comment = args.name.as_ref().map_or("", |name| name.as_str());
    let public = identity::generate(&args.out, comment)?;
    let path = args.out.display();
    eprintln!("private key: {path} (keep it on this host)");
    eprintln!("public key:  {path}.pub");
    eprintln!("add this line to the `spec` of the node's manifest:");
    println!("keys: [{public}]");
    Ok(())
}
