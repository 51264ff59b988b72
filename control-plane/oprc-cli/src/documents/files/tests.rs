use std::path::Path;

use super::*;

#[test]
fn finds_documents_in_the_order_of_names() {
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("sub/deeper")).unwrap();
    for name in ["b.yml", "a.JSON", "c.yaml", "readme.md", "sub/d.yaml", "sub/deeper/e.yaml"] {
        fs::write(at(name), "").unwrap();
    }
    #[cfg(unix)]
    {
        // A link to a file is followed, one that leads round is not.
        std::os::unix::fs::symlink(at("b.yml"), at("sub/link.yaml")).unwrap();
        std::os::unix::fs::symlink(dir.path(), at("sub/round")).unwrap();
    }
    let names = |is_recursive| -> Vec<String> {
        let found = find(&[dir.path().to_owned()], is_recursive).unwrap();
        let name = |source: &Source| match source {
            Source::File(path) => {
                path.strip_prefix(dir.path()).unwrap_or(Path::new("?")).display().to_string()
            }
            Source::Input => "-".to_owned(),
        };
        found.iter().map(name).collect()
    };
    assert_eq!(names(false), ["a.JSON", "b.yml", "c.yaml"]);
    #[cfg(unix)]
    assert_eq!(
        names(true),
        ["a.JSON", "b.yml", "c.yaml", "sub/d.yaml", "sub/deeper/e.yaml", "sub/link.yaml"]
    );
}

#[test]
fn hidden_names_are_skipped_unless_named() {
    let dir = tempfile::TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at(".github/workflows")).unwrap();
    for name in ["a.yaml", ".hidden.yaml", ".github/b.yaml", ".github/workflows/c.yaml"] {
        fs::write(at(name), "").unwrap();
    }
    let file = |name: &str| Source::File(at(name));
    assert_eq!(find(&[dir.path().to_owned()], true).unwrap(), [file("a.yaml")]);
    let named = [at(".hidden.yaml"), at(".github")];
    assert_eq!(
        find(&named, true).unwrap(),
        [file(".hidden.yaml"), file(".github/b.yaml"), file(".github/workflows/c.yaml")]
    );
}
