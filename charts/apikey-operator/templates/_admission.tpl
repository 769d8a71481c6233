{{/* CEL: an ApiKey controls the Secret. Of its variable. */}}
{{- define "apikey-operator.ownsSecret" -}}
(has({{ . }}.metadata.ownerReferences) && {{ . }}.metadata.ownerReferences.exists(owner,
  has(owner.controller) && owner.controller && owner.kind == 'ApiKey' && size(owner.name) > 0 &&
  owner.uid.matches('^[0-9a-f-]{36}$') &&
  owner.apiVersion.startsWith('apikey-operator.dev/')))
{{- end -}}

{{/* CEL: the Secret has the labels of delivered ones. Of its variable. */}}
{{- define "apikey-operator.labelsSecret" -}}
has({{ . }}.metadata.labels) &&
'app.kubernetes.io/managed-by' in {{ . }}.metadata.labels &&
{{ . }}.metadata.labels['app.kubernetes.io/managed-by'] == 'apikey-operator' &&
'app.kubernetes.io/component' in {{ . }}.metadata.labels &&
{{ . }}.metadata.labels['app.kubernetes.io/component'] == 'api-key'
{{- end -}}

{{/* CEL: the Secret is a delivered one that came back from a backup, without an owner. Of its
     variable. */}}
{{- define "apikey-operator.restoredSecret" -}}
({{ include "apikey-operator.labelsSecret" . }} &&
has({{ . }}.metadata.annotations) &&
'apikey-operator.dev/verifier' in {{ . }}.metadata.annotations &&
!(has({{ . }}.metadata.ownerReferences) && {{ . }}.metadata.ownerReferences.exists(owner,
  has(owner.controller) && owner.controller)))
{{- end -}}

{{/* CEL: the Secret is one that the controller delivers. Of its variable. */}}
{{- define "apikey-operator.deliversSecret" -}}
({{ include "apikey-operator.ownsSecret" . }} && {{ include "apikey-operator.labelsSecret" . }} &&
!['kubernetes.io/', 'bootstrap.kubernetes.io/', 'apikey-operator.dev/'].exists(prefix,
  {{ . }}.type.startsWith(prefix)))
{{- end -}}

{{/* CEL: the Secret is one that the controller keeps for itself: what proves a key, or a ring of keys.
     One that somebody made anew may have lost its type. Of its variable. */}}
{{- define "apikey-operator.keepsSecret" -}}
(variables.isOwnNamespace && (
  {{ . }}.type in ['apikey-operator.dev/verifier', 'apikey-operator.dev/key-ring'] ||
  {{ . }}.type == 'Opaque' && (
    {{ . }}.metadata.name in ['apikey-operator-peppers', 'apikey-operator-signing-keys'] ||
    {{ . }}.metadata.name.matches('^apikey-[0-9a-f-]{36}$'))))
{{- end -}}

{{/* CEL: who asks may grant the role. Of an expression that is the name of the role. */}}
{{- define "apikey-operator.mayGrant" -}}
authorizer.group('apikey-operator.dev').resource('roles').namespace(request.namespace).name({{ . }}).check('grant').allowed()
{{- end -}}

{{/* CEL: the rotation that an ApiKey asks for; '' if none. Of its variable. */}}
{{- define "apikey-operator.rotateRequest" -}}
(has({{ . }}.metadata.annotations) && 'apikey-operator.dev/rotate-requested-at' in {{ . }}.metadata.annotations ? {{ . }}.metadata.annotations['apikey-operator.dev/rotate-requested-at'] : '')
{{- end -}}

{{/* CEL: the request gives the Secret no label by which another program takes it for its own
     configuration. One that somebody else set stays. */}}
{{- define "apikey-operator.labelsOfNobody" -}}
(!has(object.metadata.labels) || object.metadata.labels.all(key,
  !['argocd.argoproj.io/', 'cluster.x-k8s.io/', 'sealedsecrets.bitnami.com/'].exists(prefix,
    key.startsWith(prefix)) ||
  request.operation == 'UPDATE' && has(oldObject.metadata.labels) &&
  key in oldObject.metadata.labels && oldObject.metadata.labels[key] == object.metadata.labels[key]))
{{- end -}}
