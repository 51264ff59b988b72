use std::{
    fs, io,
    io::Write,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
};

use super::{Lines, Loss, MAX_LINES, Target, file::Rotated};

fn read(folder: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lines_are_kept_in_order_over_files() {
    let folder = tempfile::tempdir().unwrap();
    let target =
        Target::File { path: folder.path().join("audit.log"), max_bytes: 40, max_files: 2 };
    let (lines, guard) = Lines::open(target, Loss::Counted).unwrap();
    for n in 0..17 {
        lines.place().unwrap().write(format!("line {n:04}\n").into_bytes());
    }
    drop(guard);
    // Ten bytes each: four in a file.
    let all =
        |range: std::ops::Range<usize>| range.map(|n| format!("line {n:04}")).collect::<Vec<_>>();
    assert_eq!(read(folder.path(), "audit.log"), all(16..17));
    assert_eq!(read(folder.path(), "audit.log.1"), all(12..16));
    assert_eq!(read(folder.path(), "audit.log.2"), all(8..12));
    assert!(!folder.path().join("audit.log.3").exists(), "the oldest are removed");
    let mode = fs::metadata(folder.path().join("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_broken_line_stays_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    fs::write(&path, "whole\nbro").unwrap();
    let mut file = Rotated::open(path.clone(), 1000, 1).unwrap();
    file.write_all(b"next\n").unwrap();
    file.write_all(b"last\n").unwrap();
    assert_eq!(read(folder.path(), "audit.log"), ["whole", "bro", "next", "last"]);
}

#[test]
fn a_rotation_that_was_cut_short_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let mut file = Rotated::open(path.clone(), 8, 3).unwrap();
    file.write_all(b"first\n").unwrap();
    // As if it had been renamed, and the new one could not be made.
    fs::rename(&path, folder.path().join("audit.log.1")).unwrap();
    file.write_all(b"second\n").unwrap();
    assert_eq!(read(folder.path(), "audit.log"), ["second"]);
    assert_eq!(read(folder.path(), "audit.log.1"), ["first"]);
    assert!(!folder.path().join("audit.log.2").exists());
}

#[test]
fn what_cannot_be_opened_is_told_at_once() {
    let target =
        Target::File { path: "/does/not/exist/audit.log".into(), max_bytes: 1, max_files: 1 };
    assert!(Lines::open(target, Loss::Counted).is_err());
}

/// Takes nothing while it is broken, and says what it took.
struct Breakable {
    is_broken: Arc<AtomicBool>,
    taken: Sender<Vec<u8>>,
    tried: Sender<()>,
}

impl Write for Breakable {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.tried.send(());
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let _ = self.taken.send(line.to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk() {
    for (loss, want) in [(Loss::Counted, &["third"][..]), (Loss::Forbidden, &["first", "third"])] {
        let is_broken = Arc::new(AtomicBool::new(true));
        let ((taken, takes), (tried, tries)) = (mpsc::channel(), mpsc::channel());
        let output = Breakable { is_broken: Arc::clone(&is_broken), taken, tried };
        let (lines, guard) = Lines::over(output, loss).unwrap();
        lines.place().unwrap().write(b"first".to_vec());
        tries.recv().unwrap();
        while !lines.shared.is_failing.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert_eq!(lines.place().is_some(), loss == Loss::Counted, "{loss:?}");
        is_broken.store(false, Ordering::SeqCst);
        if loss == Loss::Forbidden {
            assert_eq!(takes.recv().unwrap(), b"first");
            while lines.shared.is_failing.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        } else {
            while lines.shared.n_taken.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
        }
        lines.place().unwrap().write(b"third".to_vec());
        drop(guard);
        let taken: Vec<_> = takes.try_iter().collect();
        let want: Vec<_> = want.iter().map(|line| line.as_bytes().to_vec()).collect();
        assert_eq!(taken, want[want.len() - taken.len()..], "{loss:?}");
        assert_eq!(taken.last().unwrap(), b"third");
    }
}

#[test]
fn the_queue_is_bounded_and_places_come_back() {
    let (lines, _guard) = Lines::over(io::sink(), Loss::Forbidden).unwrap();
    let places: Vec<_> = (0..MAX_LINES).map(|_| lines.place().unwrap()).collect();
    assert!(lines.place().is_none());
    assert!(lines.place().is_none(), "asking in vain takes no place");
    drop(places);
    assert!(lines.place().is_some());
}
