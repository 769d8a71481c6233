{{/* Name of the chart in labels. */}}
{{- define "apikey-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of the names of all objects: the release name, and the chart name unless that has it. */}}
{{- define "apikey-operator.fullname" -}}
{{- $name := include "apikey-operator.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. Those of the chart win over commonLabels. */}}
{{- define "apikey-operator.labels" -}}
{{- $labels := dict
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/name" (include "apikey-operator.name" .)
      "app.kubernetes.io/instance" .Release.Name
      "app.kubernetes.io/version" .Chart.AppVersion
      "app.kubernetes.io/part-of" "apikey-operator"
      "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $labels .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Name of the ServiceAccount that the operator runs as. */}}
{{- define "apikey-operator.serviceAccountName" -}}
{{- $default := ternary (include "apikey-operator.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{/* Name of the ServiceAccount that the token server runs as. */}}
{{- define "apikey-operator.tokenServer.serviceAccountName" -}}
{{- $account := .Values.tokenServer.serviceAccount -}}
{{- $full := printf "%s-token" (include "apikey-operator.fullname" .) -}}
{{- default (ternary $full "default" $account.create) $account.name -}}
{{- end -}}
