package clickhouse

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Database is the database that holds the product's tables.
const Database = "audit"

// Options say how to reach ClickHouse.
type Options struct {
	// URLs are http:// or https:// addresses of replicas of one shard; at least one.
	URLs []string
	// Username and Password are sent with each request; "default" and none when empty.
	Username string
	Password string
	// TLS is for https:// addresses; nil trusts the system's authorities. It is cloned.
	TLS *tls.Config
	// MaxConns bounds the connections of queries (not of inserts); 10 when 0.
	MaxConns int
}

// Client talks to ClickHouse. It is safe for concurrent use.
type Client struct {
	opt  Options
	urls []*url.URL
	conn driver.Conn
	http *http.Client
	// at is the index of the URL that inserts go to; a failure moves it on.
	at atomic.Uint32
}

// New checks the options and returns a client. It does not connect.
func New(opt Options) (*Client, error) {
	if opt.Username == "" {
		opt.Username = "default"
	}
	if opt.MaxConns == 0 {
		opt.MaxConns = 10
	}
	if opt.TLS == nil {
		opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c := &Client{opt: opt}
	for _, raw := range opt.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("clickhouse: address %q is not an http:// or https:// URL", raw)
		}
		if len(c.urls) > 0 && u.Scheme != c.urls[0].Scheme {
			return nil, fmt.Errorf("clickhouse: addresses mix http and https")
		}
		c.urls = append(c.urls, u)
	}
	if len(c.urls) == 0 {
		return nil, fmt.Errorf("clickhouse: no address given")
	}
	conn, err := ch.Open(c.driverOptions(Database))
	if err != nil {
		return nil, fmt.Errorf("clickhouse: set up client: %w", err)
	}
	c.conn = conn
	c.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig:       opt.TLS.Clone(),
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 0, // an insert answers when it is done; its context holds the deadline
	}}
	return c, nil
}

// Close frees the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.conn.Close()
}

func (c *Client) driverOptions(database string) *ch.Options {
	opt := &ch.Options{
		Protocol:         ch.HTTP,
		Auth:             ch.Auth{Database: database, Username: c.opt.Username, Password: c.opt.Password},
		MaxOpenConns:     c.opt.MaxConns,
		MaxIdleConns:     c.opt.MaxConns,
		DialTimeout:      5 * time.Second,
		ConnOpenStrategy: ch.ConnOpenInOrder,
		ClientInfo:       ch.ClientInfo{Products: []struct{ Name, Version string }{{Name: "audittrail"}}},
	}
	for _, u := range c.urls {
		opt.Addr = append(opt.Addr, u.Host)
	}
	if c.urls[0].Scheme == "https" {
		opt.TLS = c.opt.TLS.Clone()
	}
	return opt
}

// Params are the values of a statement's {name:Type} placeholders, in ClickHouse's text form. They are sent apart from the statement.
type Params map[string]string

// Rows are the rows of a result; close them.
type Rows = driver.Rows

// Query runs a statement that returns rows. The rows are streamed; cancelling ctx stops the statement.
func (c *Client) Query(ctx context.Context, sql string, p Params) (Rows, error) {
	rows, err := c.conn.Query(withParams(ctx, p), sql)
	return rows, wrap(err)
}

// QueryRow scans the first row into dest; sql.ErrNoRows if there is none.
func (c *Client) QueryRow(ctx context.Context, sql string, p Params, dest ...any) error {
	return wrap(c.conn.QueryRow(withParams(ctx, p), sql).Scan(dest...))
}

// Exec runs a statement that returns nothing.
func (c *Client) Exec(ctx context.Context, sql string, p Params) error {
	return wrap(c.conn.Exec(withParams(ctx, p), sql))
}

// Each calls f with a client of each address alone, for questions whose answers differ between replicas. The first error ends it.
func (c *Client) Each(f func(*Client) error) error {
	if len(c.urls) == 1 {
		return f(c)
	}
	for _, u := range c.urls {
		opt := c.opt
		opt.URLs, opt.MaxConns = []string{u.String()}, 1
		one, err := New(opt)
		if err != nil {
			return err
		}
		err = f(one)
		_ = one.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Ping reports whether a query works.
func (c *Client) Ping(ctx context.Context) error { return wrap(c.conn.Ping(ctx)) }

// WithSettings returns a context whose statements carry these settings, such as max_execution_time.
func WithSettings(ctx context.Context, settings map[string]any) context.Context {
	return ch.Context(ctx, ch.WithSettings(settings))
}

func withParams(ctx context.Context, p Params) context.Context {
	if len(p) == 0 {
		return ctx
	}
	return ch.Context(ctx, ch.WithParameters(ch.Parameters(p)))
}

// openDB returns a database/sql handle, for the migration library. Its database need not exist yet.
func (c *Client) openDB(database string) *sql.DB { return ch.OpenDB(c.driverOptions(database)) }
