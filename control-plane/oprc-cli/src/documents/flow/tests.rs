use oprc_models::document::{Format, documents};

use super::*;

/// Reads `yaml`, writes it in flow style, reads that: the same tree. Twice, for what the first
/// reading already took out.
fn check(yaml: &str) {
    let read = |text: &str| documents(text.as_bytes(), Format::Yaml).unwrap();
    for node in read(yaml) {
        let text = to_text(&node);
        let [again] = read(&text).try_into().unwrap();
        assert_eq!(again.to_json(), node.to_json(), "{text}");
        assert_eq!(to_text(&again), text, "{yaml:?}");
    }
}

#[test]
fn reads_back_as_the_same_tree() {
    check("version: 1.0\nport: 08\nhex: 0x1F\nplus: +1\nhalf: .5\nbig: 1e400\nnot: .nan\n");
    check("a: true\nb: True\nc: 'true'\nd: yes\ne: ~\nf: null\ng:\nh: ''\ni: 'null'\n");
    check(
        "image: repo/img:1.0\ntext: a, b [c] {d} # e\nfolded: >\n  two\n  lines\nbar: |\n  x\n\n  y\n",
    );
    check(
        "-: x\n'a b': [1, two, {three: 3}]\nempty: []\nnone: {}\n? 'quo\"ted'\n: \"\\u0007\\t\"\n",
    );
    check("b: ...x\nd: 2026-05-01\ne: 12:30\nf: 1_000\ng: -.inf\nh: '-'\ni: 1.\n");
    check("ü: ñ\nlong: \"\u{2028}\"\n");
}
