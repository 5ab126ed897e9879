module github.com/theseus-go/theseus

go 1.26.0

require (
	aead.dev/minisign v0.3.0
	github.com/Masterminds/semver/v3 v3.5.0
	github.com/cloudflare/tableflip v1.2.3
	github.com/go-json-experiment/json v0.0.0-20260623181947-01eb4420fa68
	github.com/klauspost/compress v1.20.3
	github.com/minio/selfupdate v0.6.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)
