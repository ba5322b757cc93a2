{{/* What the charts have in common; each has a symbolic link to this file, which helm follows when it packages. */}}

{{- define "shared.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: loyalnest
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "shared.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Name of an image: its arguments are the image's values and the tag where they have none. */}}
{{- define "shared.image" -}}
{{- $image := index . 0 -}}
{{- $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What the "restricted" Pod Security Standard asks for. */}}
{{- define "shared.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shared.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "shared.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Environment variables of settings: arguments are their prefix and the settings. What is not text is written as JSON. */}}
{{- define "shared.environment" -}}
{{- $prefix := index . 0 -}}
{{- range $name, $value := index . 1 }}
{{ $prefix }}{{ snakecase $name | upper }}: {{ (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
{{- end }}
{{- end }}

{{/* A secret's text: its arguments are the text, the pattern that it must have, and the words if it has not. A schema would print the text. */}}
{{- define "shared.secretText" -}}
{{- if not (regexMatch (index . 1) (index . 0)) }}{{ fail (index . 2) }}{{ end }}
{{- index . 0 | quote }}
{{- end }}

{{/* An egress rule of a NetworkPolicy: names are resolved. */}}
{{- define "shared.dns" -}}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end }}

{{/* A pod that asks addresses until each answers 200: arguments are the context, the pod's name, its image's name, its pull policy, the addresses. */}}
{{- define "shared.askingPod" -}}
{{- $context := index . 0 -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "shared.labels" $context | nindent 4 }}
    app.kubernetes.io/component: test
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{- include "shared.podSecurity" $context | nindent 4 }}
  {{- include "shared.pullSecrets" $context | nindent 2 }}
  containers:
    - name: ask
      image: {{ index . 2 }}
      imagePullPolicy: {{ index . 3 }}
      securityContext: {{- include "shared.containerSecurity" $context | nindent 8 }}
      resources:
        requests: {cpu: 10m, memory: 32Mi}
        limits: {memory: 128Mi}
      command: [python, -c]
      args:
        - |
          import sys, time, urllib.error, urllib.request
          deadline = time.monotonic() + 60
          for url in sys.argv[1:]:
              while True:
                  try:
                      with urllib.request.urlopen(url, timeout=5) as answer:
                          print(url, answer.status, answer.read(500).decode())
                      break
                  except urllib.error.HTTPError as error:
                      problem = f"{error.code} {error.read(500).decode()}"
                  except OSError as error:
                      problem = str(error)
                  if time.monotonic() > deadline:
                      sys.exit(f"{url}: {problem}")
                  time.sleep(1)
        {{- range index . 4 }}
        - {{ . }}
        {{- end }}
{{- end }}
