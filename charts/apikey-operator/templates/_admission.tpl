{{/* CEL: an ApiKey controls the Secret. Of its variable. */}}
{{- define "apikey-operator.ownsSecret" -}}
(has({{ . }}.metadata.ownerReferences) && {{ . }}.metadata.ownerReferences.exists(owner,
  has(owner.controller) && owner.controller && owner.kind == 'ApiKey' &&
  owner.apiVersion.startsWith('apikey-operator.dev/')))
{{- end -}}

{{/* CEL: the Secret is one that the controller delivers. Of its variable. */}}
{{- define "apikey-operator.deliversSecret" -}}
({{ include "apikey-operator.ownsSecret" . }} &&
has({{ . }}.metadata.labels) &&
'app.kubernetes.io/managed-by' in {{ . }}.metadata.labels &&
{{ . }}.metadata.labels['app.kubernetes.io/managed-by'] == 'apikey-operator' &&
'app.kubernetes.io/component' in {{ . }}.metadata.labels &&
{{ . }}.metadata.labels['app.kubernetes.io/component'] == 'api-key' &&
!['kubernetes.io/', 'bootstrap.kubernetes.io/', 'apikey-operator.dev/'].exists(prefix,
  {{ . }}.type.startsWith(prefix)))
{{- end -}}

{{/* CEL: the Secret is one that the controller keeps for itself: what proves a key, or a ring of keys.
     Of its variable. */}}
{{- define "apikey-operator.keepsSecret" -}}
(variables.isOwnNamespace &&
{{ . }}.type in ['apikey-operator.dev/verifier', 'apikey-operator.dev/key-ring'])
{{- end -}}

{{/* CEL: who asks may grant the role. Of an expression that is the name of the role. */}}
{{- define "apikey-operator.mayGrant" -}}
authorizer.group('apikey-operator.dev').resource('roles').namespace(request.namespace).name({{ . }}).check('grant').allowed()
{{- end -}}
