module github.com/theseus-go/theseus/bench/fleet

go 1.26.0

replace github.com/theseus-go/theseus => ../..

require github.com/theseus-go/theseus v0.0.0

require (
	aead.dev/minisign v0.3.0 // indirect
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260623181947-01eb4420fa68 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/minio/selfupdate v0.6.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)
