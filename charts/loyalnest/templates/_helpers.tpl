{{- define "pool.image" -}}
{{- include "shared.image" (list .Values.image .Chart.AppVersion) }}
{{- end }}

{{/* Name of the Deployment and the Service of a service. */}}
{{- define "pool.name" -}}
{{- . | replace "_" "-" }}
{{- end }}

{{/* Labels that find a service's pods: arguments are the context and the service. */}}
{{- define "pool.selector" -}}
{{- include "shared.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Where each service answers calls, as JSON. The gateway calls and is not called. */}}
{{- define "pool.peers" -}}
{{- $peers := dict }}
{{- range without .Values.services "api_gateway" }}
{{- $_ := set $peers . (printf "%s.%s.svc:9090" (include "pool.name" .) $.Release.Namespace) }}
{{- end }}
{{- toJson $peers }}
{{- end }}
