//! The W3C `tracestate`: what each of several tracers wants to know of its own again.

use std::sync::Arc;

use super::Losses;

/// Longest `tracestate` that is passed on, in bytes. The specification asks for at least 512.
const MAX_BYTES: usize = 512;
/// Most members.
const MAX_MEMBERS: usize = 32;
/// Members longer than this, in bytes, are the first to go where the whole is too long.
const LONG_MEMBER_BYTES: usize = 128;
/// Longest value of a member, in bytes.
pub(super) const MAX_VALUE_BYTES: usize = 256;

/// The state, when it is one. One that is too long loses its long members first, then its last ones.
pub(super) fn parse(text: &str, losses: &mut Losses) -> Option<Arc<str>> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let is_state = text.split(',').count() <= MAX_MEMBERS
        && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.split(',').all(|member| member.trim().is_empty() || member.contains('='));
    if !is_state {
        losses.invalid += 1;
        return None;
    }
    if text.len() <= MAX_BYTES {
        return Some(text.into());
    }
    losses.invalid += 1;
    let members = || text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let short = joined(members().filter(|member| member.len() <= LONG_MEMBER_BYTES));
    (!short.is_empty()).then(|| short.into())
}

/// As many members as fit, from the first on.
fn joined<'a>(members: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for member in members.take(MAX_MEMBERS) {
        let comma = usize::from(!out.is_empty());
        if out.len() + comma + member.len() > MAX_BYTES {
            break;
        }
        if comma == 1 {
            out.push(',');
        }
        out.push_str(member);
    }
    out
}

/// The value of a key.
pub(super) fn member<'a>(state: Option<&'a str>, key: &str) -> Option<&'a str> {
    state?.split(',').find_map(|member| member.trim().strip_prefix(key)?.strip_prefix('='))
}

/// A state with this member in front of the others.
pub(super) fn with_member(state: Option<&str>, key: &str, value: &str) -> Option<Arc<str>> {
    let own = format!("{key}={value}");
    let others = state.into_iter().flat_map(|state| state.split(',')).map(str::trim);
    let others = others.filter(|member| !member.is_empty() && member.split('=').next() != Some(key));
    Some(joined(std::iter::once(own.as_str()).chain(others)).into())
}
