package Bench::Nginx;

# An nginx of the benchmark's own: with the modules it needs and no others,
# with one process or several, under valgrind or not.

use strict;
use warnings;

use parent 'Canary::Nginx';

use Canary::Util qw(free_port spew);

# Connections are kept for good on both sides.
use constant KEPT => 1_000_000_000;


# new(dir => ..., name => ..., workers => 0 for a single process,
#     modules => [...], prefix => [...], http => ..., server => ...)
sub new {
    my ($class, %how) = @_;
    return $class->SUPER::new(port => free_port(), modules => [],
                              prefix => [], level => 'error', %how);
}


sub port { return $_[0]{port} }


sub write_conf {
    my ($self, %change) = @_;
    @$self{ keys %change } = values %change;

    my $home = $self->{home};
    my $modules = join '', map { "load_module $_;\n" } @{ $self->{modules} };
    my $processes = $self->{workers} ? "worker_processes $self->{workers};"
                                     : 'master_process off;';
    my $temp = join '', map { "    ${_}_temp_path $home/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    my $kept = KEPT;

    spew($self->conf, <<"END");
$modules
daemon off;
@{[$self->user_line]}
$processes
pid $home/nginx.pid;
error_log $home/error.log $self->{level};
events {
    worker_connections 1024;
}
http {
    access_log off;
    keepalive_requests $kept;
    keepalive_timeout 1h;
$temp
$self->{http}
    server {
        listen 127.0.0.1:$self->{port};
        listen unix:$home/http.sock;
$self->{server}
    }
}
END
}


sub command {
    my ($self, @more) = @_;
    return (@{ $self->{prefix} }, $self->SUPER::command(@more));
}


# The process that serves.
sub server_pid {
    my ($self) = @_;
    return $self->{workers} ? ($self->workers)[0] : $self->{process}->pid;
}


1;
