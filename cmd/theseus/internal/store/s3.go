package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// s3 is a store in a bucket of Amazon S3, or of a server that speaks as it does. What is compared and replaced in one step is
// an object with an ETag: the server does it (If-Match, If-None-Match).
type s3 struct {
	core   minio.Core
	bucket string
	folder string
	name   string

	mu     sync.Mutex
	judged bool // the server was seen to obey conditions
}

const s3Example = "s3://BUCKET/FOLDER, with ?endpoint=URL for a server that is not Amazon's, ?region=NAME, ?credentials=machine or none"

func openS3(_ context.Context, address string) (Opened, error) {
	u, q, err := parse(address, s3Example, "endpoint", "region", "credentials")
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil {
		return nil, ui.Usage("%s names no bucket: want %s", Redacted(address), s3Example)
	}
	endpoint := cmp.Or(q.Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	server, err := url.Parse(endpoint)
	if err != nil || server.Host == "" || server.Scheme != "https" && server.Scheme != "http" || strings.Trim(server.Path, "/") != "" {
		return nil, ui.Usage("%s: the endpoint %s is no server: want https://HOST[:PORT]", Redacted(address), Redacted(endpoint))
	}
	var who *credentials.Credentials
	switch q.Get("credentials") {
	case "":
		who = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}, webIdentity()})
	case "machine": // asks an address that only a machine of a cloud has, so it is not tried unasked
		who = credentials.NewIAM("")
	case "none":
		who = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	default:
		return nil, ui.Usage("%s: credentials are machine, none, or (left out) what the environment or ~/.aws/credentials says", Redacted(address))
	}
	client, err := minio.New(server.Host, &minio.Options{
		Creds:      who,
		Secure:     server.Scheme == "https",
		MaxRetries: 5, // some seconds: whoever runs the command again goes on where it was
		Region:     cmp.Or(q.Get("region"), os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
	})
	if err != nil {
		return nil, ui.Usage("%s: %w", Redacted(address), err)
	}
	client.SetAppInfo("theseus", "1")
	return &s3{core: minio.Core{Client: client}, bucket: u.Host, folder: u.Path, name: "s3://" + join(u.Host, u.Path)}, nil
}

// webIdentity is what a cluster or a CI gives its jobs instead of keys.
func webIdentity() credentials.Provider {
	if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
		return &credentials.Static{Value: credentials.Value{SignerType: credentials.SignatureAnonymous}}
	}
	return &credentials.IAM{}
}

func (s *s3) String() string                { return s.name }
func (s *s3) Close() error                  { return nil }
func (s *s3) key(name string) string        { return join(s.folder, name) }
func (s *s3) path(name string) string       { return s.name + "/" + name }
func version(info minio.ObjectInfo) Version { return Version(strings.Trim(info.ETag, `"`)) }

func (s *s3) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	body, info, _, err := s.core.GetObject(ctx, s.bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, Nothing, s.explain(ctx, name, err)
	}
	return body, version(info), nil
}

func (s *s3) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	o := minio.PutObjectOptions{}
	o.ContentType, o.CacheControl = headers(name)
	if replaces == Anything {
		// Not every server understands bodies that are signed in pieces; what arrives is compared by its MD5, and by clients
		// with what was signed.
		o.DisableContentSha256, o.SendContentMd5 = true, true
		_, err := s.core.Client.PutObject(ctx, s.bucket, s.key(name), body, size, o)
		return s.explain(ctx, name, err)
	}
	b, err := exactly(body, size)
	if err != nil {
		return err
	}
	if err := s.obeys(ctx); err != nil {
		return err
	}
	condition(&o, replaces)
	_, err = s.core.Client.PutObject(ctx, s.bucket, s.key(name), bytes.NewReader(b), size, o)
	if err = s.explain(ctx, name, err); !changed(err, replaces) {
		return err
	}
	// A request whose answer was lost on the way is sent again, and then it is our own object that stands in its way. Also,
	// "conflict" says no more than that somebody else was at it. What is there now is what counts.
	there, _, err := s.read(ctx, name)
	switch {
	case err == nil && bytes.Equal(there, b):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return ErrChanged
}

// condition makes a request one that replaces this version and nothing else.
func condition(o *minio.PutObjectOptions, replaces Version) {
	if replaces == Nothing {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(string(replaces))
	}
}

// changed reports whether the answer to a conditional request is that the condition may not hold.
func changed(err error, replaces Version) bool {
	return errors.Is(err, ErrChanged) || replaces != Nothing && errors.Is(err, fs.ErrNotExist)
}

func (s *s3) read(ctx context.Context, name string) ([]byte, Version, error) {
	body, v, err := s.Get(ctx, name)
	if err != nil {
		return nil, v, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxDocument+1))
	return b, v, err
}

// conditional is the name of an object that stands for nothing: every Put of it must fail once it is there.
const conditional = "conditions.txt"

// obeys finds out whether the server compares before it replaces. One that does not know conditions ignores them: two
// publishers would overwrite each other, and neither would notice.
func (s *s3) obeys(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judged {
		return nil
	}
	const text = "theseus has looked here whether this server obeys If-None-Match and If-Match. It may be removed.\n"
	put := func(replaces Version) error {
		o := minio.PutObjectOptions{ContentType: documentType}
		condition(&o, replaces)
		_, err := s.core.Client.PutObject(ctx, s.bucket, s.key(conditional), strings.NewReader(text), int64(len(text)), o)
		return s.explain(ctx, conditional, err)
	}
	ignores := func(header string) error {
		return ui.Fail(ui.ExitError, "%s ignores %s, so that two publishers could overwrite each other's channel unseen: use a server that obeys it (doc/publishing.md lists them), or another store", s, header)
	}
	if err := put(Nothing); err == nil { // it was not there: once more
		if err := put(Nothing); err == nil {
			return ignores("If-None-Match")
		} else if !errors.Is(err, ErrChanged) {
			return err
		}
	} else if !errors.Is(err, ErrChanged) {
		return err
	}
	if err := put("00000000000000000000000000000000"); err == nil {
		return ignores("If-Match")
	} else if !errors.Is(err, ErrChanged) {
		return err
	}
	s.judged = true
	return nil
}

func (s *s3) List(ctx context.Context, folder string) ([]Object, error) {
	prefix := s.key(folder)
	if prefix != "" {
		prefix += "/"
	}
	var objects []Object
	for o := range s.core.Client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, s.explain(ctx, folder, o.Err)
		}
		name := strings.TrimPrefix(o.Key, prefix)
		if name == "" || strings.Contains(name, "/") || folder == "" && name == conditional {
			continue
		}
		objects = append(objects, Object{Name: name, Size: o.Size})
	}
	return sorted(objects), ctx.Err()
}

func (s *s3) Delete(ctx context.Context, name string) error {
	err := s.explain(ctx, name, s.core.Client.RemoveObject(ctx, s.bucket, s.key(name), minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// explain makes an error of the server one for a person. What it answers of itself is shown as text only.
func (s *s3) explain(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 && answer.Code == "" {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return ui.Fail(ui.ExitUnreachable, "%s does not answer: %w: check the endpoint and the network, and run this again", s, err)
	}
	said := ui.Clean(strings.TrimSpace(answer.Code + " " + answer.Message))
	switch {
	case answer.Code == "NoSuchBucket":
		return ui.Fail(ui.ExitError, "%s: there is no such bucket: make it first, or check its name, endpoint and region", s)
	case answer.Code == "NoSuchKey", answer.StatusCode == http.StatusNotFound:
		return &fs.PathError{Op: "get", Path: s.path(name), Err: fs.ErrNotExist}
	case answer.StatusCode == http.StatusPreconditionFailed, answer.StatusCode == http.StatusConflict, answer.StatusCode == http.StatusNotModified:
		return fmt.Errorf("%w (%s)", ErrChanged, said)
	case answer.StatusCode == http.StatusForbidden, answer.StatusCode == http.StatusUnauthorized:
		return ui.Fail(ui.ExitPermission, "%s does not allow it (%s): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, get, put and delete there", s, said)
	case answer.StatusCode == http.StatusNotImplemented:
		return ui.Fail(ui.ExitError, "%s cannot do this (%s): use a server that knows conditional writes (doc/publishing.md)", s, said)
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return ui.Fail(ui.ExitUnreachable, "%s is in trouble (%s): run this again later, it goes on where it was", s, said)
	}
	return ui.Fail(ui.ExitError, "%s: %s: %w", s.path(name), said, err)
}
