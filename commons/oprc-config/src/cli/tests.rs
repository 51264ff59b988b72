//! What `oprc` takes from its environment.

use std::path::PathBuf;

use super::Config;

fn parse(variables: &[(&str, &str)]) -> Result<Config, crate::Mistakes> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Config::parse(variables.iter().map(owned).collect())
}

#[test]
fn the_folder_is_xdgs_else_under_home() {
    let folder = |variables: &[(&str, &str)]| parse(variables).unwrap().config_dir;
    let home = ("HOME", "/home/ada");
    assert_eq!(folder(&[]), None);
    assert_eq!(folder(&[home]), Some(PathBuf::from("/home/ada/.config/oprc")));
    assert_eq!(folder(&[home, ("XDG_CONFIG_HOME", "/x")]), Some(PathBuf::from("/x/oprc")));
    let relative = [home, ("XDG_CONFIG_HOME", "x")];
    assert_eq!(folder(&relative), Some(PathBuf::from("/home/ada/.config/oprc")));
}

#[test]
fn server_and_token_are_checked() {
    let config = parse(&[("OPRC_SERVER", "https://pm.example.org/"), ("OPRC_TOKEN", "t")]).unwrap();
    assert_eq!(config.server.unwrap().as_str(), "https://pm.example.org");
    assert_eq!(config.token.unwrap().expose(), "t");
    let Err(mistakes) = parse(&[("OPRC_SERVER", "pm"), ("OPRC_TOKEN", "")]) else {
        panic!("want mistakes")
    };
    assert_eq!(mistakes.iter().count(), 2);
}
