{{/* Name of the chart in labels. */}}
{{- define "apikey-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of the names of all objects: the release name, and the chart name unless that has it. A
     Service has at most 63 characters, and the longest suffix is "-token-metrics". */}}
{{- define "apikey-operator.fullname" -}}
{{- $name := include "apikey-operator.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 49 | trimSuffix "-" -}}
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
{{- $default := ternary (include "apikey-operator.fullname" .) "default" .Values.controller.serviceAccount.create -}}
{{- default $default .Values.controller.serviceAccount.name -}}
{{- end -}}

{{/* Name of the ServiceAccount that the token server runs as. */}}
{{- define "apikey-operator.tokenServer.serviceAccountName" -}}
{{- $account := .Values.tokenServer.serviceAccount -}}
{{- $full := printf "%s-token" (include "apikey-operator.fullname" .) -}}
{{- default (ternary $full "default" $account.create) $account.name -}}
{{- end -}}

{{/* Labels by which objects find pods. They can't change. Of (dict "root" . "component" NAME). */}}
{{- define "apikey-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "apikey-operator.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object of one component, of the same. */}}
{{- define "apikey-operator.componentLabels" -}}
{{- $own := include "apikey-operator.selectorLabels" . | fromYaml -}}
{{- merge $own (include "apikey-operator.labels" .root | fromYaml) | toYaml -}}
{{- end -}}

{{/* Name of the objects of the token server. The Service has it. */}}
{{- define "apikey-operator.tokenServer.fullname" -}}
{{- printf "%s-token" (include "apikey-operator.fullname" .) -}}
{{- end -}}

{{/* Reference of the image. */}}
{{- define "apikey-operator.image" -}}
{{- $image := .Values.image -}}
{{- $name := ternary (printf "%s/%s" $image.registry $image.repository) $image.repository (ne $image.registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Secret with the certificate of the token server, if it speaks TLS. */}}
{{- define "apikey-operator.tlsSecretName" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- default (printf "%s-tls" (include "apikey-operator.tokenServer.fullname" .)) .Values.tls.existingSecret -}}
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Port of the token server's Service. */}}
{{- define "apikey-operator.servicePort" -}}
{{- $default := ternary 443 80 (ne (include "apikey-operator.tlsSecretName" .) "") -}}
{{- default $default .Values.tokenServer.service.port -}}
{{- end -}}

{{/* Address of the token server for consumers: the given one, or that of the Service. */}}
{{- define "apikey-operator.issuerUrl" -}}
{{- if .Values.issuerUrl -}}
{{- .Values.issuerUrl -}}
{{- else -}}
{{- $tls := ne (include "apikey-operator.tlsSecretName" .) "" -}}
{{- $port := include "apikey-operator.servicePort" . -}}
{{- $host := printf "%s.%s.svc" (include "apikey-operator.tokenServer.fullname" .) .Release.Namespace -}}
{{- $suffix := ternary "" (printf ":%s" $port) (eq $port (ternary "443" "80" $tls)) -}}
{{- printf "%s://%s%s" (ternary "https" "http" $tls) $host $suffix -}}
{{- end -}}
{{- end -}}

{{/* Host of issuerUrl, empty if that is not given. */}}
{{- define "apikey-operator.issuerHost" -}}
{{- with .Values.issuerUrl -}}
{{- regexReplaceAll ":[0-9]+$" (urlParse .).host "" -}}
{{- end -}}
{{- end -}}

{{/* Paths of the token server for callers outside: the given ones, or all but /authz, below the path of
     issuerUrl too. Of (dict "root" . "paths" LIST). */}}
{{- define "apikey-operator.paths" -}}
{{- $paths := .paths -}}
{{- if not $paths -}}
{{- $own := list "/auth/v1/api-key" "/oauth2" "/.well-known" "/openapi.json" -}}
{{- $below := (urlParse .root.Values.issuerUrl).path -}}
{{- range $own -}}
{{- $paths = append $paths (printf "%s%s" $below .) -}}
{{- end -}}
{{- if $below -}}
{{- $paths = concat $paths $own -}}
{{- end -}}
{{- end -}}
{{- toYaml $paths -}}
{{- end -}}

{{/* Fewest pods of the token server. */}}
{{- define "apikey-operator.tokenServer.replicas" -}}
{{- $own := .Values.tokenServer -}}
{{- $scaled := and $own.autoscaling.enabled (ne (int $own.replicas) 0) -}}
{{- ternary $own.autoscaling.minReplicas $own.replicas $scaled | int -}}
{{- end -}}

{{/* Number of pods of the token server where the autoscaler decides it: none, or the present one as long as
     it is Helm's. What Helm has set and sets no more, it removes, and the API server would put 1. By
     server-side apply it is Helm's until the autoscaler changes it, and by patches ("Update") for good. */}}
{{- define "apikey-operator.tokenServer.keptReplicas" -}}
{{- $name := include "apikey-operator.tokenServer.fullname" . -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace $name -}}
{{- $kept := false -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- $spec := dig "fieldsV1" "f:spec" dict . -}}
{{- $patched := and (eq .operation "Update") (hasKey $spec "f:selector") -}}
{{- if and (not .subresource) (or $patched (hasKey $spec "f:replicas")) -}}
{{- $kept = true -}}
{{- end -}}
{{- end -}}
{{- if and $kept (gt (int $live.spec.replicas) 0) -}}
{{- int $live.spec.replicas -}}
{{- end -}}
{{- end -}}

{{/* Flags of both processes. */}}
{{- define "apikey-operator.commonArgs" -}}
- --namespace={{ .Release.Namespace }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
- --admin-listen={{ .Values.listenAddress }}:9090
- --issuer-url={{ include "apikey-operator.issuerUrl" . }}
- --require-organizations={{ .Values.organizations.required }}
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
{{- end -}}

{{/* Environment of both processes for traces. */}}
{{- define "apikey-operator.tracingEnv" -}}
{{- with .Values.tracing -}}
{{- if .endpoint -}}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .samplingRatio | quote }}}
{{- else -}}
[]
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Port of an address such as http://collector:4318. */}}
{{- define "apikey-operator.tracingPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port -}}
{{- end -}}

{{/* A Deployment's rolling update, and pods of one component that are the same for both. Of
     (dict "root" . "component" NAME "values" VALUES "account" SERVICEACCOUNT "container" YAML
     "volumes" LIST). */}}
{{- define "apikey-operator.deploymentSpec" -}}
{{- $root := .root -}}
{{- $selector := include "apikey-operator.selectorLabels" . | fromYaml -}}
selector:
  matchLabels:
    {{- toYaml $selector | nindent 4 }}
strategy:
  {{- toYaml .values.updateStrategy | nindent 2 }}
template:
  metadata:
    labels:
      {{- $part := dict "app.kubernetes.io/part-of" "apikey-operator" }}
      {{- merge (dict) $selector $part .values.podLabels $root.Values.commonLabels | toYaml | nindent 6 }}
    annotations:
      {{- merge (dict) .values.podAnnotations (dict "kubectl.kubernetes.io/default-container" .component) | toYaml | nindent 6 }}
  spec:
    serviceAccountName: {{ .account }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
    {{- with .values.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- with $root.Values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- toYaml $root.Values.podSecurityContext | nindent 6 }}
    containers:
      - name: {{ .component }}
        image: {{ include "apikey-operator.image" $root | quote }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        {{- .container | nindent 8 }}
        securityContext:
          {{- toYaml $root.Values.securityContext | nindent 10 }}
        resources:
          {{- toYaml .values.resources | nindent 10 }}
        # Alive is whatever answers: a restart cures nothing else. The port is open before anything
        # is asked of the API server.
        startupProbe:
          httpGet: {path: /livez, port: admin}
          periodSeconds: 1
          timeoutSeconds: 5
          failureThreshold: 60
        livenessProbe:
          httpGet: {path: /livez, port: admin}
          periodSeconds: 10
          timeoutSeconds: 5
          failureThreshold: 6
        readinessProbe:
          httpGet: {path: /readyz, port: admin}
          periodSeconds: 5
          timeoutSeconds: 5
          failureThreshold: 2
        {{- with concat (include "apikey-operator.tracingEnv" $root | fromYamlArray) .values.extraEnv }}
        env:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with concat .mounts .values.extraVolumeMounts }}
        volumeMounts:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- with concat .volumes .values.extraVolumes }}
    volumes:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .values.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- $soft := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" }}
    topologySpreadConstraints:
      {{- range default (list $soft) .values.topologySpreadConstraints }}
      - {{- merge (dict) . (dict "labelSelector" (dict "matchLabels" $selector)) | toYaml | nindent 8 }}
      {{- end }}
{{- end -}}

{{/* A PodDisruptionBudget, of (dict "root" . "component" NAME "values" VALUES "name" NAME
     "replicas" NUMBER). */}}
{{- define "apikey-operator.podDisruptionBudget" -}}
{{- if and .values.podDisruptionBudget.enabled (gt (int .replicas) 1) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "apikey-operator.componentLabels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "apikey-operator.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* A Service for /metrics, of the same. */}}
{{- define "apikey-operator.metricsService" -}}
{{- if .values.metricsService.enabled }}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}-metrics
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "apikey-operator.componentLabels" . | nindent 4 }}
  {{- with .values.metricsService.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    {{- include "apikey-operator.selectorLabels" . | nindent 4 }}
  ports:
    - name: http-metrics
      port: 9090
      targetPort: admin
      appProtocol: http
{{- end }}
{{- end -}}

{{/* Egress of both processes. */}}
{{- define "apikey-operator.egress" -}}
{{- $policy := .Values.networkPolicy -}}
# DNS.
- ports:
    {{- range $policy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with $policy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# The API server.
- ports:
    {{- range $policy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with $policy.apiServerTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .Values.tracing.endpoint }}
# The collector of traces.
- ports:
    - {port: {{ include "apikey-operator.tracingPort" . }}, protocol: TCP}
  {{- with $policy.tracingTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
