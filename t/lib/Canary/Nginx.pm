package Canary::Nginx;

# A real nginx with the module, as a child of the test: in the foreground, or
# with "daemon => 1" in the background, where alone its binary can be upgraded.

use strict;
use warnings;

use JSON::PP qw(decode_json);

use Canary::HTTP ();
use Canary::Process qw(alive descendants spawn);
use Canary::Util qw(command_output root slow slurp spew wait_until);


sub binary { return $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx' }


sub module {
    return $ENV{TEST_CANARY_MODULE}
        || root() . '/build/ngx_agent_canary_module.so';
}


# new(dir => ..., workers => 1, connections => 512, user => ..., main => ...,
#     http => ..., server => ..., level => 'info')
sub new {
    my ($class, %how) = @_;
    my $self = bless { workers => 1, connections => 512, main => '',
                       http => '', server => '', level => 'info',
                       name => 'nginx', binary => binary(), allowed => [],
                       %how }, $class;

    $self->{home} //= "$self->{dir}/$self->{name}";
    mkdir $self->{home};
    chmod 0755, $self->{home};
    $self->write_conf;
    return $self;
}


sub address { return "unix:$_[0]{home}/http.sock" }
sub error_log { return "$_[0]{home}/error.log" }
sub conf { return "$_[0]{home}/nginx.conf" }
sub log_text { return slurp($_[0]->error_log) // '' }
sub process { return $_[0]{process} }


# Debian's nginx would drop to "nobody", who may not enter the test's
# directory.
sub user_line {
    my ($self) = @_;
    return '' if $> != 0;
    return 'user ' . ($self->{user} // 'root root') . ';';
}


sub write_conf {
    my ($self, %change) = @_;
    @$self{ keys %change } = values %change;

    my $home = $self->{home};
    my $temp = join '', map { "    ${_}_temp_path $home/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);
    my $module = module();
    my $globals = $ENV{TEST_NGINX_GLOBALS} // '';

    my $daemon = $self->{daemon} ? 'on' : 'off';

    spew($self->conf, <<"END");
daemon $daemon;
@{[$self->user_line]}
worker_processes $self->{workers};
pid $home/nginx.pid;
error_log $home/error.log $self->{level};
load_module $module;
$globals
$self->{main}
events {
    worker_connections $self->{connections};
}
http {
    access_log off;
$temp
$self->{http}
    server {
        listen unix:$home/http.sock;
        server_name localhost;
$self->{server}
    }
}
END
}


sub command {
    my ($self, @more) = @_;
    return ($self->{binary}, '-p', "$self->{home}/", '-c', $self->conf,
            '-e', $self->error_log, @more);
}


# nginx -t: its status, and its whole text with what it logged
sub test {
    my ($self) = @_;
    my $logged = -s $self->error_log // 0;
    my ($text, $status) = command_output($self->command('-t'));
    return ($text . substr($self->log_text, $logged), $status);
}


sub start {
    my ($self) = @_;
    $self->{process} = spawn($self->{name}, log => "$self->{home}/stdout",
                             command => [$self->command]);
    $self->adopt_daemon if $self->{daemon};
    my $up = wait_until(15, sub { !alive($self->{process}) || $self->answers });

    die "nginx did not start:\n" . slurp("$self->{home}/stdout")
        . $self->log_text if !$up || !alive($self->{process});
    return $self;
}


sub pid_file { return "$_[0]{home}/nginx.pid" }


sub adopt_daemon {
    my ($self) = @_;
    $self->{process}->wait_end(10);
    my $pid = wait_until(10, sub {
        my ($pid) = (slurp($self->pid_file) // '') =~ /^(\d+)$/m;
        $pid;
    }) or die "nginx did not start:\n" . slurp("$self->{home}/stdout");
    $self->{process} = Canary::Process->adopt($self->{name}, $pid);
}


sub answers {
    my ($self) = @_;
    return eval { Canary::HTTP::connect_to($self->address); 1 };
}


# The pids of the workers that take connections.
sub workers {
    my ($self) = @_;
    return processes($self, qr/^nginx: worker process(?! is shutting)/);
}


# The pids of the processes of this nginx whose title matches.
sub processes {
    my ($self, $title) = @_;
    my @pids = sort { $a <=> $b }
        grep { (slurp("/proc/$_/cmdline") // '') =~ $title }
        map { $_->[0] } descendants($self->{process}{pid});
    return @pids;
}


# Whether no worker is left that should be gone.
sub settled {
    my ($self) = @_;
    return $self->processes(qr/^nginx: worker process/) == $self->{workers};
}


# Reloads and waits until only new workers are left to take connections.
sub reload {
    my ($self, %change) = @_;
    my %old = map { $_ => 1 } $self->workers;

    $self->write_conf(%change) if %change;
    $self->{process}->signal('HUP');
    return wait_until(20, sub {
        my @now = $self->workers;
        @now == $self->{workers} && !grep { $old{$_} } @now;
    });
}


# Returns the wait status of the master.
sub stop {
    my ($self, $signal) = @_;
    return $self->{process}->stop($signal // 'QUIT', 10);
}


# -- asking it ----------------------------------------------------------------

sub get {
    my ($self, $path, @headers) = @_;
    return Canary::HTTP::get($self->address, $path, @headers);
}


# The arm a user is sent to, told by the agent that answered.
sub arm_of {
    my ($self, $user, $path) = @_;
    return $self->get($path // '/', 'X-User-Id' => $user)
        ->{headers}{'x-agent'};
}


# Sends one request for each user: { user => arm } of those that were
# answered by 200.
sub arms_of {
    my ($self, $users, $path) = @_;
    my %arm;

    Canary::HTTP::sweep(
        address => $self->address, items => $users, connections => 8,
        make => sub { Canary::HTTP::message('GET', $path // '/', undef,
                                            'X-User-Id' => $_[0]) },
        answer => sub {
            my ($user, $answer) = @_;
            $arm{$user} = $answer->{headers}{'x-agent'}
                if $answer->{status} == 200;
        });
    return \%arm;
}


sub status {
    my ($self) = @_;
    my $answer = eval { $self->get('/canary/status') } or return;
    return if $answer->{status} != 200;
    return decode_json($answer->{body});
}


sub flag {
    my ($self, $name) = @_;
    my $status = $self->status or return;
    my ($flag) = grep { $_->{name} eq ($name // 'support') }
        @{ $status->{flags} };
    return $flag;
}


# Waits for a flag to have these values in the status; returns the flag, or
# nothing.
sub wait_flag {
    my ($self, $name, %wanted) = @_;
    return wait_until(10, sub {
        my $flag = $self->flag($name) or return;
        for (keys %wanted) {
            my $value = $flag->{$_} // '';
            return if ref $wanted{$_} ? $value !~ $wanted{$_}
                                      : $value ne $wanted{$_};
        }
        return $flag;
    });
}


sub wait_redis {
    my ($self, $state) = @_;
    return wait_until(15, sub {
        my $status = $self->status;
        $status && $status->{redis}{state} eq $state && $status;
    });
}


sub wait_log {
    my ($self, $pattern) = @_;
    return wait_until(10, sub { $self->log_text =~ $pattern });
}


# -- judging it ---------------------------------------------------------------

# Lines of these levels and patterns belong to the test.
sub allow_log {
    my ($self, @patterns) = @_;
    push @{ $self->{allowed} }, @patterns;
}


# What no test may leave in a log: grave lines, and any of a sanitizer.
sub complaints {
    my ($self) = @_;
    my @lines = map { split /\n/, slurp($_) // '' }
        grep { -f } glob "$self->{home}/error.log $self->{home}/stdout "
                         . "$self->{home}/sanitizer.*";
    my @bad = grep { /\[(?:alert|emerg|crit)\]|Sanitizer|runtime error:/ }
        @lines;

    for my $pattern (@{ $self->{allowed} }) {
        @bad = grep { !/$pattern/ } @bad;
    }

    return @bad;
}


1;
