//! Detects whether another tool manages an object and may revert manual changes. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Annotations and labels with which tools mark the objects that they manage.
const MARKS: [(&str, &str); 6] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
    ("helm.sh/chart", "Helm"),
];

/// Field managers of tools that apply objects from a repository.
const MANAGERS: [(&str, &str); 5] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
];

/// Returns the tool that manages the object, if there is one.
pub(super) fn keeper(meta: &ObjectMeta) -> Option<&'static str> {
    let marked = MARKS.into_iter().find(|(mark, _)| {
        let has = |map: &Option<std::collections::BTreeMap<String, String>>| {
            map.as_ref().is_some_and(|map| map.contains_key(*mark))
        };
        has(&meta.annotations) || has(&meta.labels)
    });
    let managed = || {
        let mut managers = meta.managed_fields.iter().flatten();
        managers.find_map(|entry| {
            let name = entry.manager.as_deref()?;
            MANAGERS.into_iter().find(|(manager, _)| *manager == name)
        })
    };
    marked.or_else(managed).map(|(_, tool)| tool)
}

/// The warning for a user who suspends or resumes a managed key. Tools don't change a field that is not in
/// their files, and this program writes `suspended` with a field manager whose fields Flux does not adopt.
pub(super) fn suspension(name: &str, tool: &str) -> String {
    format!(
        "apikey/{name} is managed by {tool}: this change is reverted if `suspended` is declared \
         there; in that case, make the same change there"
    )
}

/// The warning for a user who changes a managed key.
pub(super) fn warning(name: &str, tool: &str) -> String {
    format!(
        "apikey/{name} is managed by {tool}, which may revert this: make the same change where \
         it is declared"
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

    use super::*;

    #[test]
    fn tools_are_known_by_their_marks_and_by_what_they_write() {
        assert_eq!(keeper(&ObjectMeta::default()), None);
        let labelled = |mark: &str| ObjectMeta {
            labels: Some([(mark.to_owned(), "x".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let labels = labelled("kustomize.toolkit.fluxcd.io/name");
        assert_eq!(keeper(&labels), Some("Flux"));
        assert_eq!(keeper(&labelled("team")), None);
        let written = ObjectMeta {
            managed_fields: Some(vec![ManagedFieldsEntry {
                manager: Some("argocd-controller".into()),
                ..ManagedFieldsEntry::default()
            }]),
            ..ObjectMeta::default()
        };
        assert_eq!(keeper(&written), Some("Argo CD"));
    }
}
