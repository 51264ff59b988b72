//! What a misspelt variable was probably meant to be.

/// The most edits between a misspelt name and the one that was meant.
const MAX_EDITS: usize = 3;

/// The name in `known` that is closest to `name`; `None` if none has anything to do with it.
///
/// Words are separated by `-`. Short forms count: `prod-east` is near `production-east`.
pub(crate) fn nearest_word<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |known: &&String| strsim::osa_distance(name, known);
    let is_short_form = |known: &&String| {
        let (mut theirs, mut ours) = (known.split('-'), name.split('-'));
        loop {
            match (theirs.next(), ours.next()) {
                (None, None) => return true,
                (Some(one), Some(other)) if one.starts_with(other) || other.starts_with(one) => {}
                _ => return false,
            }
        }
    };
    let near = known.iter().filter(|known| distance(known) <= MAX_EDITS || is_short_form(known));
    near.min_by_key(distance).map(String::as_str)
}

/// The name in `known` that `name` was probably meant to be.
///
/// Either few letters differ, or a part in the middle was left out (`…_PORT` for `…_SERVER_PORT`).
pub(crate) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |known: &&String| strsim::osa_distance(name, known);
    if let Some(nearest) = known.iter().min_by_key(distance)
        && distance(&nearest) <= MAX_EDITS
    {
        return Some(nearest);
    }
    let words: Vec<_> = name.split('_').collect();
    let holds_all_words = |known: &&String| {
        let mut rest = known.split('_');
        words.iter().all(|word| rest.any(|candidate| candidate == *word))
    };
    known.iter().filter(holds_all_words).min_by_key(distance).map(String::as_str)
}
