module github.com/theseus-go/theseus/bench/restart

go 1.26.0

require (
	github.com/cloudflare/tableflip v1.2.3
	github.com/fvbock/endless v0.0.0-20170109170031-447134032cb6
	github.com/jpillora/overseer v1.1.6
	github.com/theseus-go/theseus v0.0.0
	golang.org/x/sys v0.49.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/StackExchange/wmi v0.0.0-20190523213315-cbe66965904d // indirect
	github.com/go-ole/go-ole v1.2.4 // indirect
	github.com/jpillora/s3 v1.1.4 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)

replace github.com/theseus-go/theseus => ../..
