//! Tests of values.

use super::{decode, encode};
use crate::{KeyValue, Revision, keys::Key};

#[test]
fn json_names_the_key() {
    let key = Key::Cluster("east".parse().unwrap());
    let value = encode(&key, &[1, 2]).unwrap();
    let revision = Revision(1);
    let mut kv =
        KeyValue { key: key.to_string(), value, create_revision: revision, mod_revision: revision };
    assert_eq!(decode::<Vec<u32>>(&kv).unwrap(), [1, 2]);
    kv.value = "{".into();
    let err = decode::<Vec<u32>>(&kv).unwrap_err();
    assert_eq!(err.to_string(), "the value of clusters/east is not what belongs there");
}
