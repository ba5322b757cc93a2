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

{{/* The services of the pool, as JSON: a list of objects with name, edge, paths and grpc. services.json is generated. */}}
{{- define "pool.services" -}}
{{- .Files.Get "services.json" }}
{{- end }}

{{/* Where each service answers calls, as JSON. */}}
{{- define "pool.peers" -}}
{{- $peers := dict }}
{{- range include "pool.services" . | fromJsonArray }}
{{- if .grpc }}
{{- $_ := set $peers .name (printf "%s.%s.svc:9090" (include "pool.name" .name) $.Release.Namespace) }}
{{- end }}
{{- end }}
{{- toJson $peers }}
{{- end }}
