module github.com/theseus-go/theseus/internal/faultlab

go 1.26.0

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/theseus-go/theseus v0.0.0-00010101000000-000000000000
	golang.org/x/sys v0.49.0
)

require (
	aead.dev/minisign v0.3.0 // indirect
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260623181947-01eb4420fa68 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	golang.org/x/crypto v0.58.0 // indirect
)

replace github.com/theseus-go/theseus => ../..
