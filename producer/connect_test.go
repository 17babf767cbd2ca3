package producer

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/internal/certs/certtest"
	"github.com/audittrail/audittrail/producer/internal/producertest"
)

func TestSecureConnections(t *testing.T) {
	a := certtest.New(t)
	_, brokers := cluster(
		t, kfake.TLS(a.Server()), kfake.EnableSASL(), kfake.Superuser(string(Plain), "shop", "pw-plain"),
		kfake.Superuser(string(ScramSHA256), "shop", "pw-256"), kfake.Superuser(string(ScramSHA512), "shop", "pw-512"),
	)
	secure := a.Client()
	noCertificate := secure.Clone()
	noCertificate.Certificates = nil
	for _, tt := range []struct {
		name    string
		tls     *tls.Config
		sasl    *SASL
		trouble string
	}{
		{"plain", secure, &SASL{Plain, "shop", "pw-plain"}, ""},
		{"scram 256", secure, &SASL{ScramSHA256, "shop", "pw-256"}, ""},
		{"scram 512", secure, &SASL{ScramSHA512, "shop", "pw-512"}, ""},
		// Apache Kafka says SASL_AUTHENTICATION_FAILED; this broker just hangs up.
		{"wrong password", secure, &SASL{Plain, "shop", "pw-512"}, "is the login right"},
		{"unknown user", secure, &SASL{ScramSHA512, "chop", "pw-512"}, "is the login right"},
		{"unknown authority", &tls.Config{MinVersion: tls.VersionTLS12}, &SASL{Plain, "shop", "pw-plain"}, "unknown authority"},
		{"no client certificate", noCertificate, &SASL{Plain, "shop", "pw-plain"}, "certificate required"},
		{"no TLS", nil, &SASL{Plain, "shop", "pw-plain"}, "is TLS missing"},
		{"no login", secure, nil, "is SASL missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, Options{Brokers: brokers, TLS: tt.tls, SASL: tt.sasl})
			err := p.Check(within(t))
			if tt.trouble == "" {
				if err == nil {
					err = p.Emit(within(t), login("alice"))
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.trouble) || !strings.Contains(err.Error(), brokers[0]) || strings.Contains(err.Error(), "pw-") {
				t.Errorf("got %v, want %q with the broker's address and without the password", err, tt.trouble)
			}
		})
	}
}

func TestLoadTLSExplains(t *testing.T) {
	a := certtest.New(t)
	a.Client()
	if c, err := LoadTLS("", "", ""); err != nil || c.RootCAs != nil || c.Certificates != nil {
		t.Errorf("the system's authorities: %+v, %v", c, err)
	}
	for _, tt := range []struct{ ca, cert, key, want string }{
		{"none.crt", "", "", "none.crt"},
		{"ca.key", "", "", "ca.key has no certificate"},
		{"ca.crt", "client.crt", "", "both"},
		{"ca.crt", "", "client.key", "both"},
		{"ca.crt", "client.crt", "ca.key", "client.crt"},
	} {
		files := []string{tt.ca, tt.cert, tt.key}
		for i := range files {
			if files[i] != "" {
				files[i] = a.File(files[i])
			}
		}
		if _, err := LoadTLS(files[0], files[1], files[2]); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestCompressions(t *testing.T) {
	for _, c := range []Compression{LZ4, Zstd, Snappy, Gzip, Uncompressed} {
		_, brokers := cluster(t)
		if err := start(t, Options{Brokers: brokers, Compression: c}).Emit(within(t), login("alice")); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if n := len(producertest.Read(t, brokers, DefaultTopic)); n != 1 {
			t.Errorf("%s: %d records", c, n)
		}
	}
}

// TestPasswordIsNotShown: invariant 9.
func TestPasswordIsNotShown(t *testing.T) {
	login := SASL{Plain, "shop", "pw-secret"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "sasl", login, "options", Options{SASL: &login})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "sasl", login, "pointer", &login)
	start(t, Options{Brokers: []string{"127.0.0.1:1"}, SASL: &login, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	text := log.String() + fmt.Sprintf("%v %+v %#v %s", login, login, login, &login)
	if strings.Contains(text, "pw-secret") || !strings.Contains(text, "PLAIN as shop") || !strings.Contains(text, "unencrypted") {
		t.Errorf("got %s", text)
	}
}
