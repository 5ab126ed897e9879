package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/theseus-go/theseus/restart"
)

// grpcServer answers every message of every method with its process id, after as long as the message says.
func grpcServer() *grpc.Server {
	return grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		for {
			var d durationpb.Duration
			if err := stream.RecvMsg(&d); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			time.Sleep(d.AsDuration())
			if err := stream.SendMsg(wrapperspb.Int64(int64(os.Getpid()))); err != nil {
				return err
			}
		}
	}))
}

func serveTheseusGRPC(network, address string) error {
	r, err := newTheseus()
	if err != nil {
		return err
	}
	ln, err := r.Listen(network, address)
	if err != nil {
		return err
	}
	srv := grpcServer()
	go srv.Serve(ln)
	r.OnDrain("grpc", restart.Graceful(srv))
	return r.Run(context.Background())
}

// grpcCalls is calls of so many messages each, on shared connections. No retry is configured; what grpc-go itself does is
// to open a stream elsewhere that the server has said it did not begin, which no client can switch off.
func grpcCalls(messages int) func(*load) (func() error, error) {
	const perConn = 8
	return func(l *load) (func() error, error) {
		for range max(1, l.set.clients/perConn) {
			c, err := grpc.NewClient("passthrough:///"+l.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
				grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.dial() }))
			if err != nil {
				return nil, err
			}
			for range perConn {
				l.wg.Go(func() {
					for {
						select {
						case <-l.stop:
							return
						case <-time.After(l.set.pause):
						}
						during, begun := l.during.Load(), time.Now()
						pid, err := grpcCall(c, messages, l.set.slow)
						l.count(&l.kept, begun, during, err)
						l.answered(pid)
					}
				})
			}
		}
		return nil, nil
	}
}

// grpcCall sends messages, each after the answer to the one before, and wants all answers from one process.
func grpcCall(c *grpc.ClientConn, messages int, slow time.Duration) (pid int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/bench/pid")
	if err != nil {
		return 0, err
	}
	for n := range messages {
		if n > 0 {
			time.Sleep(time.Millisecond)
		}
		if err := stream.SendMsg(durationpb.New(slow)); err != nil && err != io.EOF { // EOF: RecvMsg knows more
			return 0, err
		}
		var answer wrapperspb.Int64Value
		if err := stream.RecvMsg(&answer); err != nil {
			return 0, err
		}
		if pid != 0 && int(answer.Value) != pid {
			return 0, fmt.Errorf("one stream was answered by %d and %d", pid, answer.Value)
		}
		pid = int(answer.Value)
	}
	if err := stream.CloseSend(); err != nil {
		return 0, err
	}
	if err := stream.RecvMsg(new(wrapperspb.Int64Value)); err != io.EOF {
		return 0, fmt.Errorf("instead of its end the stream had %v", err)
	}
	return pid, nil
}
