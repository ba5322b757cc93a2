{{- define "operator.secret" -}}
{{ .Values.existingSecret | default "loyalnest-operator" }}
{{- end }}

{{- define "operator.exportsClaim" -}}
{{- if .Values.exports.enabled }}{{ .Values.exports.existingClaim | default "loyalnest-exports" }}{{ end }}
{{- end }}

{{- define "operator.image" -}}
{{- include "shared.image" (list .Values.image .Chart.AppVersion) }}
{{- end }}
