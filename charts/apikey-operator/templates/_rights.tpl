{{/* Labels of namespaces, for organizations that select namespaces by label. */}}
{{- define "apikey-operator.namespaceRule" -}}
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.watchNamespaces }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [list, watch]
{{- end -}}

{{/* What the controller may do where keys are. Delivered Secrets: it reads their metadata only, which
     RBAC can't express, and writes them by server-side apply, which needs patch. It deletes those whose
     secret is shown once, when it was claimed or its time is over; the others go by garbage
     collection. */}}
{{- define "apikey-operator.keyRules" -}}
- apiGroups: [apikey-operator.dev]
  resources: [apikeys]
  verbs: [get, list, watch]
- apiGroups: [apikey-operator.dev]
  resources: [apikeys/status]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* What the token server may do where keys are. It patches status.lastUsedAt, by server-side apply. */}}
{{- define "apikey-operator.tokenServer.keyRules" -}}
- apiGroups: [apikey-operator.dev]
  resources: [apikeys]
  verbs: [list, watch]
{{- if .Values.tokenServer.recordLastUsed }}
- apiGroups: [apikey-operator.dev]
  resources: [apikeys/status]
  verbs: [patch]
{{- end }}
{{- end -}}
