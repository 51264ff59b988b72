use super::*;
use crate::term::Terminal;

#[test]
fn stands_in_columns() {
    let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
    let long = "x".repeat(MAX_WIDTH + 1);
    let rows = [row(&["a", "RUNNING", ""]), row(&["longer", "DOWN", "z"]), row(&[&long, "b", "c"])];
    let mut to = Vec::new();
    let mut out = Out::new(&mut to, Terminal { is_terminal: true, has_colour: true });
    let table = Table::new(&["NAME", "STATE", "Q"], &rows[..2]);
    for row in &rows {
        table.line(&mut out, row);
    }
    let want = format!(
        "a       \x1b[32mRUNNING\x1b[0m\nlonger  \x1b[31mDOWN\x1b[0m     z\n{long}  b        c\n"
    );
    assert_eq!(String::from_utf8(to).unwrap(), want);
}
