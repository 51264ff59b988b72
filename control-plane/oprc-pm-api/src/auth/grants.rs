//! What a caller may do: the role bindings that reach them, and nothing else.

use std::{collections::BTreeMap, fmt::Write, ops::Bound, sync::Arc};

use oprc_models::{
    meta::Stored,
    names::PackageName,
    role::{Kind, Pattern, Role, RoleBinding, Verb},
};

/// What a caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Whether they may do everything, with no binding.
    is_admin: bool,
    bindings: Vec<Arc<Stored<RoleBinding>>>,
}

/// What was missing: which role would have done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Missing {
    /// What was to be done.
    pub verb: Verb,
    /// To what kind of thing.
    pub kind: Kind,
    /// In which package, where it depends on that.
    pub package: Option<PackageName>,
}

impl Missing {
    fn text(&self) -> String {
        let Self { verb, kind, package } = self;
        let mut text = format!("you may not {verb} {kind}");
        let _ = match package {
            Some(package) => write!(text, " of the package {package}"),
            None => Ok(()),
        };
        let roles: Vec<&str> = Role::that_permit(*verb, *kind).map(Role::as_str).collect();
        let _ = write!(text, ": want the role {}", roles.join(" or "));
        text
    }
}

impl Grants {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { is_admin: true, bindings: Vec::new() }
    }

    /// What `bindings` give.
    #[must_use]
    pub fn of(bindings: Vec<Arc<Stored<RoleBinding>>>) -> Self {
        Self { is_admin: false, bindings }
    }

    /// Each role, and the packages that it is for.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (Role, &[Pattern])> {
        let admin = self.is_admin.then_some((Role::Admin, &[][..]));
        let bound = self.bindings.iter().map(|stored| &stored.spec);
        admin.into_iter().chain(bound.map(|binding| (binding.role, &binding.packages[..])))
    }

    fn that_permit(&self, verb: Verb, kind: Kind) -> impl Iterator<Item = &RoleBinding> {
        let bindings = self.bindings.iter().map(|stored| &stored.spec);
        bindings.filter(move |binding| {
            // Who rules over some packages does not rule over the rest of the house.
            let is_whole = binding.role != Role::Admin || binding.is_for_all();
            let is_shared = !kind.is_of_package();
            binding.role.permits(verb, kind)
                && (is_whole || !is_shared || (kind == Kind::Cluster && verb.is_read()))
        })
    }

    /// Whether they may do `verb` to the `kind` of `package`.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn require(&self, verb: Verb, kind: Kind, package: &PackageName) -> Result<(), Missing> {
        let reaches = |binding: &RoleBinding| {
            !kind.is_of_package() || binding.packages.iter().any(|one| one.matches(package))
        };
        if self.is_admin || self.that_permit(verb, kind).any(reaches) {
            return Ok(());
        }
        Err(Missing { verb, kind, package: Some(package.clone()) })
    }

    /// Whether they may do `verb` to some `kind`: to all of them, where packages do not matter.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn require_somewhere(&self, verb: Verb, kind: Kind) -> Result<(), Missing> {
        if self.is_admin || self.that_permit(verb, kind).next().is_some() {
            return Ok(());
        }
        Err(Missing { verb, kind, package: None })
    }

    /// Whether they may know of `package` and of what is in it.
    #[must_use]
    pub fn sees(&self, package: &PackageName) -> bool {
        self.require(Verb::Get, Kind::Package, package).is_ok()
    }

    /// Whether they may know of every package.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.is_admin || self.bindings.iter().any(|stored| stored.spec.is_for_all())
    }

    /// The entries of the packages that they may know of, in order, after `after`. Others are not
    /// looked at.
    pub(crate) fn visible<'m, V>(
        &self,
        map: &'m BTreeMap<PackageName, V>,
        after: Bound<&PackageName>,
    ) -> impl Iterator<Item = (&'m PackageName, &'m V)> + use<'m, V> {
        let begin: Bound<Box<str>> = after.map(|name| name.as_str().into());
        self.spans().into_iter().flat_map(move |span| {
            let (first, prefix) = match span.prefix() {
                Some(prefix) => (prefix, Some(Box::<str>::from(prefix))),
                None => (span.as_str(), None),
            };
            let from = match &begin {
                Bound::Included(place) | Bound::Excluded(place) if &**place >= first => {
                    begin.as_ref().map(|place| &**place)
                }
                Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
                    Bound::Included(first)
                }
            };
            let whole: Option<Box<str>> = prefix.is_none().then(|| first.into());
            map.range::<str, _>((from, Bound::Unbounded)).take_while(move |(name, _)| {
                match (&prefix, &whole) {
                    (Some(prefix), _) => name.as_str().starts_with(&**prefix),
                    (None, whole) => whole.as_deref() == Some(name.as_str()),
                }
            })
        })
    }

    /// The patterns of the packages that they may know of, in order, none within another.
    fn spans(&self) -> Vec<Pattern> {
        if self.sees_all() {
            return vec![Pattern::all()];
        }
        let patterns = self.bindings.iter().flat_map(|stored| &stored.spec.packages);
        let mut all: Vec<&Pattern> = patterns.collect();
        // By what names begin with; of two alike, the wider one first: `shop*` before `shop`.
        all.sort_by_key(|one| (one.prefix().unwrap_or(one.as_str()), one.prefix().is_none()));
        let mut spans: Vec<Pattern> = Vec::with_capacity(all.len());
        for one in all {
            if spans.last().is_none_or(|last| !last.covers(one)) {
                spans.push(one.clone());
            }
        }
        spans
    }
}

/// On whose behalf a write is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authority<'a> {
    /// The program's own: nobody else asked for it.
    #[default]
    Ours,
    /// A caller's.
    Of(&'a Grants),
}

impl Authority<'_> {
    /// As [`Grants::require`].
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn require(self, verb: Verb, kind: Kind, package: &PackageName) -> Result<(), Missing> {
        match self {
            Self::Ours => Ok(()),
            Self::Of(grants) => grants.require(verb, kind, package),
        }
    }

    /// As [`Grants::require_somewhere`].
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn require_somewhere(self, verb: Verb, kind: Kind) -> Result<(), Missing> {
        match self {
            Self::Ours => Ok(()),
            Self::Of(grants) => grants.require_somewhere(verb, kind),
        }
    }

    /// As [`Grants::sees_all`].
    #[must_use]
    pub fn sees_all(self) -> bool {
        match self {
            Self::Ours => true,
            Self::Of(grants) => grants.sees_all(),
        }
    }

    /// As [`Grants::sees`].
    #[must_use]
    pub fn sees(self, package: &PackageName) -> bool {
        match self {
            Self::Ours => true,
            Self::Of(grants) => grants.sees(package),
        }
    }
}

#[cfg(test)]
mod tests;
