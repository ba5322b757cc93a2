{{- define "backing.labels" -}}
{{- include "shared.labels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "backing.selector" -}}
{{- include "shared.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Head of a store's StatefulSet, up to its containers: arguments are the context and the store's name. */}}
{{- define "backing.head" -}}
{{- $context := index . 0 -}}
{{- $store := index . 1 -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $store }}
  labels: {{- include "backing.labels" . | nindent 4 }}
spec:
  serviceName: {{ $store }}
  replicas: 1
  selector:
    matchLabels: {{- include "backing.selector" . | nindent 6 }}
  {{- if $context.Values.persistence.enabled }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "backing.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $context.Values.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ (index $context.Values $store).size }}}}
  {{- end }}
  template:
    metadata:
      labels: {{- include "backing.selector" . | nindent 8 }}
      annotations:
        checksum/config: {{ include (print $context.Template.BasePath "/config.yaml") $context | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{- include "shared.podSecurity" $context | nindent 8 }}
      {{- include "shared.pullSecrets" $context | nindent 6 }}
      terminationGracePeriodSeconds: 60
{{- end }}

{{/* The beginning of a store's container. */}}
{{- define "backing.container" -}}
{{- $context := index . 0 -}}
{{- $values := index $context.Values (index . 1) -}}
name: {{ index . 1 }}
image: {{ include "shared.image" (list $values.image $context.Chart.AppVersion) }}
imagePullPolicy: {{ $context.Values.image.pullPolicy }}
securityContext: {{- include "shared.containerSecurity" $context | nindent 2 }}
resources: {{- toYaml $values.resources | nindent 2 }}
{{- end }}

{{/* Volumes that every store has. */}}
{{- define "backing.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- end }}
{{- end }}
