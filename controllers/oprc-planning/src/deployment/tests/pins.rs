//! Deployments that pin a version: what follows the newest, what does not, and what is told.

use oprc_models::package::OPackage;
use serde_json::json;

use super::*;

/// The package `shop` at `version`, which its image names.
fn shop(version: &str) -> OPackage {
    let function = json!({"key": "cart.add", "provision_config": {"container_image": version}});
    package(json!({"version": version, "functions": [function]}))
}

/// The package becomes `version`; what it was is published still.
fn publish(world: &mut World, version: &str) {
    let new = shop(version);
    let old = world.packages.insert(new.name.clone(), new);
    world.published.extend(old.filter(|old| old.version.is_some()));
}

/// Carries out what is planned; answers the version that the unit on `east` is of, and what is told.
fn settle(world: &mut World) -> (Option<String>, Option<String>, String) {
    let plan = world.plan();
    world.carry_out(plan);
    let status = world.status.as_ref().unwrap();
    let ready = &status.conditions[0];
    let told = format!("{}: {}", ready.reason, ready.message);
    let unit = world.units.get(&cluster("east"));
    (unit.and_then(|it| it.unit.package_version.clone()), status.package_version.clone(), told)
}

#[test]
fn a_pin_holds_while_the_newest_moves() {
    let spec = json!({"target_envs": ["east"], "package_version": "^1"});
    let mut world = World::new(spec);
    publish(&mut world, "1.0.0");
    let version = |text: &str| Some(text.to_owned());
    let (unit, told, _) = settle(&mut world);
    assert_eq!((unit, told), (version("1.0.0"), version("1.0.0")));
    publish(&mut world, "2.0.0");
    assert!(world.plan().is_empty(), "nothing of it changes");
    // Published beside the newest, and higher than what runs.
    world.published.push(shop("1.1.0"));
    let (unit, told, _) = settle(&mut world);
    assert_eq!((unit, told), (version("1.1.0"), version("1.1.0")));
    assert!(world.plan().is_empty());
}

/// Nothing that runs is touched, and the status says which versions there are, until one will do.
#[test]
fn what_nothing_satisfies_is_told() {
    let spec = json!({"target_envs": ["east"], "package_version": "^1"});
    let mut world = World::new(spec);
    publish(&mut world, "1.0.0");
    let _ = settle(&mut world);
    let running = world.units.clone();
    let of = world.spec.as_mut().unwrap();
    of.spec.package_version = Some("^3".to_owned());
    of.meta.generation = 2;
    let (unit, told, why) = settle(&mut world);
    assert_eq!((unit.as_deref(), told), (Some("1.0.0"), None));
    assert_eq!(why, "VersionNotFound: no version of package shop satisfies ^3: there is 1.0.0");
    assert_eq!(world.units, running);
    publish(&mut world, "2.0.0");
    let (_, _, why) = settle(&mut world);
    assert!(why.ends_with("satisfies ^3: there are 2.0.0, 1.0.0"), "{why}");
    publish(&mut world, "3.1.0");
    let (unit, told, _) = settle(&mut world);
    assert_eq!((unit.as_deref(), told.as_deref()), (Some("3.1.0"), Some("3.1.0")));
}
