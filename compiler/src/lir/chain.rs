//! Call chains of error sites.
//!
//! A site says where an operation fails and, by [`Site::caller`], which call brought control
//! there. A call is a site, too ([`super::ErrorKind::Call`]). An error that passes a call on its way out
//! gets that call at the end of its chain: where a function is copied into its caller this is
//! done to the sites of the copy, elsewhere when it happens. So a chain costs nothing until it is shown. Calls among
//! functions that recurse by them are left out, as the back end makes loops of these.
//!
//! Invariant: a site's caller has a smaller number, so chains end.

use cranelift_entity::PrimaryMap;
use rustc_hash::FxHashMap;

use super::{Site, SiteId};

/// Sites, to which those with longer chains are added, each once.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    sites: PrimaryMap<SiteId, Site>,
    known: FxHashMap<(SiteId, SiteId), SiteId>,
}

impl Chains {
    /// The sites of a module, to which more will be added.
    pub fn new(sites: PrimaryMap<SiteId, Site>) -> Self {
        Chains {
            sites,
            known: FxHashMap::default(),
        }
    }

    /// The sites.
    pub fn sites(&self) -> &PrimaryMap<SiteId, Site> {
        &self.sites
    }

    /// Exchanges them: what is known of chains stays, so the same sites must be given back.
    pub fn exchange(&mut self, sites: &mut PrimaryMap<SiteId, Site>) {
        std::mem::swap(&mut self.sites, sites);
    }

    /// All of them, at the end.
    pub fn finish(self) -> PrimaryMap<SiteId, Site> {
        self.sites
    }

    /// The site `site` of a function that was called at `call`.
    pub fn called(&mut self, site: SiteId, call: SiteId) -> SiteId {
        // From the innermost call outwards, then back again.
        let mut path = vec![site];
        let mut at = site;
        while let Some(caller) = self.sites.get(at).and_then(|site| site.caller) {
            path.push(caller);
            at = caller;
        }
        let mut end = call;
        for site in path.into_iter().rev() {
            end = match self.known.get(&(site, call)) {
                Some(known) => *known,
                None => self.add(site, call, end),
            };
        }
        end
    }

    fn add(&mut self, site: SiteId, call: SiteId, caller: SiteId) -> SiteId {
        let Some(data) = self.sites.get(site) else {
            return site;
        };
        let longer = Site {
            caller: Some(caller),
            ..data.clone()
        };
        let id = self.sites.push(longer);
        self.known.insert((site, call), id);
        id
    }
}

/// The calls that led to a site, the innermost first.
pub fn callers(sites: &PrimaryMap<SiteId, Site>, site: SiteId) -> impl Iterator<Item = &Site> {
    let caller = move |site: SiteId| sites.get(sites.get(site)?.caller?);
    let mut next = caller(site);
    std::iter::from_fn(move || {
        let call = next?;
        next = call.caller.and_then(|caller| sites.get(caller));
        Some(call)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lir::ErrorKind;

    fn site(kind: ErrorKind, position: &str) -> Site {
        Site {
            kind,
            near: String::new(),
            position: position.into(),
            caller: None,
        }
    }

    #[test]
    fn chains_grow_outwards_and_are_shared() {
        let mut chains = Chains::default();
        let division = chains.sites.push(site(ErrorKind::DivisionByZero, "1"));
        let inner = chains.sites.push(site(ErrorKind::Call, "2"));
        let outer = chains.sites.push(site(ErrorKind::Call, "3"));
        let once = chains.called(division, inner);
        let twice = chains.called(once, outer);
        let positions = |id| {
            let calls = callers(chains.sites(), id);
            calls.map(|call| call.position.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(positions(division), Vec::<&str>::new());
        assert_eq!(positions(once), ["2"]);
        assert_eq!(positions(twice), ["2", "3"]);
        let before = chains.sites.len();
        assert_eq!(chains.called(once, outer), twice);
        assert_eq!(chains.sites.len(), before);
    }

    #[test]
    fn a_recursive_call_is_in_the_chain_each_time() {
        let mut chains = Chains::default();
        let division = chains.sites.push(site(ErrorKind::DivisionByZero, "1"));
        let call = chains.sites.push(site(ErrorKind::Call, "2"));
        let deep = (0..3).fold(division, |site, _| chains.called(site, call));
        assert_eq!(callers(chains.sites(), deep).count(), 3);
    }
}
