{{/* Which pods, or Services, tell of metrics: controllers and token servers of this release. */}}
{{- define "apikey-operator.metrics.selector" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "apikey-operator.name" . }}
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: [controller, token-server]
{{- end -}}

{{/* How one port is scraped, from the values of a monitor. */}}
{{- define "apikey-operator.metrics.endpoint" -}}
path: /metrics
# The label "namespace" of a series about a key is that of the key.
honorLabels: true
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
