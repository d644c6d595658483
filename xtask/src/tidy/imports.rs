//! Arrows that cargo cannot see: between Python integrations, and between the parts of the UI.

use super::{Complaint, SourceFile, complain};

pub(super) fn check(files: &[SourceFile]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            let found = match () {
                () if file.has_extension("py") => python_import(&file.path, line),
                () if file.has_extension("ts") || file.has_extension("tsx") => ui_import(&file.path, line),
                () => None,
            };
            if let Some(message) = found {
                complaints.push(complain(format!("{}:{}", file.path, index + 1), message));
            }
        }
    }
    complaints.extend(integrations_are_complete(files));
    complaints
}

const INTEGRATIONS: &str = "python/pitviper/integrations/";

/// The folder of the integration a path lies in.
fn integration_of(path: &str) -> Option<&str> {
    let (folder, _) = path.strip_prefix(INTEGRATIONS)?.split_once('/')?;
    Some(folder)
}

fn python_import(path: &str, line: &str) -> Option<String> {
    let module = line.trim_start().strip_prefix("from ").or_else(|| line.trim_start().strip_prefix("import "))?;
    let imported = module.strip_prefix("pitviper.integrations.")?;
    let imported = imported.split(['.', ' ']).next()?;
    if !path.starts_with("python/pitviper/") || imported.starts_with('_') {
        return None;
    }
    match integration_of(path) {
        // WSGI and ASGI are the protocols the web frameworks speak, so they build on their integrations.
        Some(own) if own == imported || ["wsgi", "asgi"].contains(&imported) => None,
        Some(own) => Some(format!("integration {own} must not import integration {imported}")),
        None => {
            Some(format!("nothing imports an integration by name; {imported} is found through the generated index"))
        }
    }
}

/// Every integration folder says what it is in its `__init__.py`.
fn integrations_are_complete(files: &[SourceFile]) -> Vec<Complaint> {
    files
        .iter()
        .filter(|file| integration_of(&file.path).is_some_and(|_| file.path.ends_with("/__init__.py")))
        .filter(|file| file.path[INTEGRATIONS.len()..].matches('/').count() == 1)
        .filter(|file| !file.text.contains("INTEGRATION = Integration("))
        .map(|file| complain(&file.path, "does not declare INTEGRATION = Integration(...)"))
        .collect()
}

fn ui_import(path: &str, line: &str) -> Option<String> {
    let (_, quoted) = line.split_once(" from ")?;
    let target = quoted.trim().trim_matches([';', '"', '\'']);
    let folder = path.strip_prefix("ui/src/")?;
    let target = resolve(folder, target)?;
    let (page, imported_page) = (page_of(folder), page_of(&target));
    if let (Some(page), Some(imported)) = (page, imported_page)
        && page != imported
    {
        return Some(format!("page {page} must not import page {imported}"));
    }
    if folder.starts_with("components/") && (target.starts_with("pages/") || target.starts_with("api/")) {
        return Some(format!("components draw from props; they must not import {target}"));
    }
    if folder.starts_with("lib/") && !target.starts_with("lib/") {
        return Some(format!("lib computes; it must not import {target}"));
    }
    None
}

fn page_of(path: &str) -> Option<&str> {
    path.strip_prefix("pages/")?.split_once('/').map(|(page, _)| page)
}

/// The path below `ui/src` that a relative import or an `@/` alias names; `None` for packages.
fn resolve(from: &str, target: &str) -> Option<String> {
    if let Some(below) = target.strip_prefix("@/") {
        return Some(below.to_owned());
    }
    if !target.starts_with('.') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrations_keep_to_themselves() {
        let flask = "python/pitviper/integrations/flask/patches.py";
        assert!(python_import(flask, "from pitviper.integrations.requests import x").is_some());
        assert!(python_import(flask, "from pitviper.integrations.wsgi.patches import x").is_none());
        assert!(python_import(flask, "from pitviper.integrations.flask import x").is_none());
        assert!(python_import("python/pitviper/cli.py", "import pitviper.integrations.flask").is_some());
        assert!(python_import("python/pitviper/cli.py", "from pitviper.integrations._index import INDEX").is_none());
    }

    #[test]
    fn the_ui_points_inward() {
        assert!(ui_import("ui/src/pages/trace/page.tsx", "import { a } from '../search/page';").is_some());
        assert!(ui_import("ui/src/pages/trace/page.tsx", "import { a } from '../../lib/time';").is_none());
        assert!(ui_import("ui/src/components/chart.tsx", "import { a } from \"@/api/client\";").is_some());
        assert!(ui_import("ui/src/lib/time.ts", "import { a } from '../components/chart';").is_some());
        assert!(ui_import("ui/src/lib/time.ts", "import { a } from 'react';").is_none());
    }
}
