import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PORTS, ROLES, type Role } from '#cli/terminal/choices';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '#scripts/building/installed_package';
import { check, endChecks } from '#scripts/checking/counted_checks';
import { gitleaksBinary, syftBinary } from '#scripts/deployment/tools';
import { cacheFolder } from '#scripts/services/install';
import { startStack } from '#scripts/services/stack';
import { Buildah, type ImageConfig } from './buildah.ts';
import { Container } from './container.ts';
import { developmentPackages, unwantedPaths } from './contents.ts';
import { nodeRoot } from './node_root.ts';

// npm run check:image: the Dockerfiles of this repository and of examples/fraud, built by Debian's buildah as root and without an engine; what is in the image, and each role started in it as
// Compose starts it: embedded, and on Kafka, Redis, PostgreSQL and MLflow. No registry of images is called: nodeRoot stands for node:24-slim. An argument names the file for the bill of materials.

const NODE = '24';
const BASE = 'localhost/headwater';
const PROJECT = 'localhost/headwater-fraud';
const MOST_MEGABYTES = 700;
const READY_MS = 180_000;
/** stop_grace_period of docker-compose.yml. */
const GRACE_MS = 40_000;
const KEY = 'a-key-of-this-check';
/** The image itself listens on every address. */
const LISTENING_HERE = Object.fromEntries(
  ['GATEWAY_HOST', 'FEATURE_API_HOST', 'PIPELINE_HOST', 'API_HOST', 'MONITOR_HOST', 'WORKFLOWS_HOST'].map((name) => [
    name,
    '127.0.0.1',
  ]),
);
const PROGRAM = ['node', '/app/dist/cli/headwater.js'];

const say = (text: string): void => void process.stdout.write(`       ${text}\n`);
const folder = await mkdtemp(join(tmpdir(), 'headwater-image-'));
// PostgreSQL runs as another user.
await chmod(folder, 0o755);
const root = await nodeRoot(NODE);
const buildah = await Buildah.in(folder);
try {
  await checkImage();
} finally {
  await buildah.end();
  await rm(folder, { recursive: true, force: true });
}
endChecks();

async function checkImage(): Promise<void> {
  await buildah.imageOf(root, 'localhost/node');
  const mounts = await settingsOfNpm();
  const NODE_IMAGE = 'localhost/node';
  await check('Dockerfile: every stage', () => buildah.build(BASE, assetPath(''), { NODE_IMAGE }, mounts));
  await check('examples/fraud/Dockerfile, on it', () =>
    buildah.build(PROJECT, assetPath('examples/fraud'), { NODE_IMAGE, BASE_IMAGE: BASE }, mounts),
  );
  const config = await buildah.configOf(PROJECT);
  const container = await buildah.container(PROJECT);
  await check('user, entry point, health check, signal and volume', async () => {
    const shown = [config.User, config.Entrypoint.join(' '), config.Cmd.join(' '), config.StopSignal ?? 'SIGTERM'];
    const wanted = ['1000', PROGRAM.join(' '), 'start', 'SIGTERM'];
    if (shown.join() !== wanted.join()) throw new Error(`${shown.join()} instead of ${wanted.join()}`);
    if (!('/data' in config.Volumes)) throw new Error('/data is no volume');
    if (config.Healthcheck.Test[0] !== 'CMD') throw new Error('there is no health check');
  });
  await checkContents(container.root);
  for (const command of [['--version'], ['--help'], ...ROLES.map((role) => ['start', '--role', role, '--help'])]) {
    await check(`buildah run: headwater ${command.join(' ')}`, () =>
      buildah.run(container.name, [...PROGRAM, ...command]),
    );
  }
  await check('buildah run: definitions of the project', () =>
    buildah.run(container.name, [...PROGRAM, 'features', 'validate']),
  );
  await check('buildah run: the user is 1000, and owns no files', async () => {
    const user = await buildah.run(container.name, ['id', '-u']);
    const owned = await runCommand('find', [container.root, '-xdev', '-uid', '1000'], { cwd: folder });
    const paths = owned
      .trim()
      .split('\n')
      .map((path) => path.slice(container.root.length));
    // Its volumes, its home, and the folder that buildah, other than Docker, makes for WORKDIR as the user.
    const others = paths.filter((path) => !/^\/(data|keys|project|home\/node(\/.*)?)$/.test(path));
    if (user !== '1000' || others.length > 0) throw new Error(`user ${user} owns ${others.join()}`);
  });
  await checkEmbedded(container.root, config);
  await checkRoles(container.root, config);
}

/** npm's settings and the certificates of this machine, where the build is behind a mirror of its own. */
async function settingsOfNpm(): Promise<Readonly<Record<string, string>>> {
  const settings = await Promise.all(
    ['registry', 'cafile'].map(async (name) => {
      const value = (await runCommand('npm', ['config', 'get', name], { cwd: tmpdir() })).trim();
      return value === 'null' || value === 'undefined' ? '' : `${name}=${value}\n`;
    }),
  );
  const file = join(folder, 'npmrc');
  await writeFile(file, settings.join(''));
  return { '/root/.npmrc': file, '/etc/ssl/certs': '/etc/ssl/certs' };
}

async function checkContents(image: string): Promise<void> {
  await check(`size below ${MOST_MEGABYTES} MB`, async () => {
    const measured = async (path: string): Promise<number> =>
      Number.parseInt(await runCommand('du', ['-sxm', join(image, path)], { cwd: folder }), 10);
    const all = await measured('');
    const parts = ['app/node_modules', 'app/dist', 'project', 'usr'];
    const sizes = await Promise.all(parts.map(async (path) => `${path} ${await measured(path)}`));
    say(`${all} MB: ${sizes.join(', ')}`);
    if (all >= MOST_MEGABYTES) throw new Error(`${all} MB`);
  });
  await check('no tests, benchmarks, scripts or history, and no settings that hold credentials', async () => {
    const found = await unwantedPaths(image);
    if (found.length > 0) throw new Error(found.join('\n'));
  });
  await check('no development dependencies', async () => {
    const found = await developmentPackages(image);
    if (found.length > 0) throw new Error(found.join('\n'));
  });
  const gitleaks = await gitleaksBinary();
  for (const path of ['app/dist', 'app/configs', 'project']) {
    await check(`no credentials in /${path}`, () =>
      runCommand(
        gitleaks,
        ['dir', '--no-banner', '--redact', '--config', assetPath('.gitleaks.toml'), join(image, path)],
        { cwd: folder },
      ),
    );
  }
  await check('bill of materials: packages of npm and of Debian', async () => {
    const file = process.argv[2] ?? join(cacheFolder, 'headwater.cdx.json');
    const scan = [
      ...['scan', `dir:${image}`, '--source-name', 'headwater', '--quiet', '--output', `cyclonedx-json=${file}`],
      // What is installed, and not what lock files name.
      ...['--override-default-catalogers', 'image'],
    ];
    await runCommand(await syftBinary(), scan, { cwd: folder, env: { SYFT_CHECK_FOR_APP_UPDATE: 'false' } });
    const { components } = JSON.parse(await readFile(file, 'utf8')) as {
      readonly components: readonly { readonly purl?: string }[];
    };
    const ofKind = (kind: string) => components.filter(({ purl }) => purl?.startsWith(`pkg:${kind}/`)).length;
    say(`${ofKind('npm')} of npm, ${ofKind('deb')} of Debian, in ${file}`);
    for (const purl of ['pkg:npm/fastify@', 'pkg:npm/onnxruntime-node@', 'pkg:deb/debian/libc6@', 'pkg:npm/zod@']) {
      if (!components.some((component) => component.purl?.startsWith(purl))) throw new Error(`${purl} is not in it`);
    }
  });
}

async function portsFor(roles: readonly Role[]): Promise<Readonly<Record<string, string>>> {
  const ports = roles.map(async (role) => [PORTS[role].variable, String(await freePort())] as const);
  return Object.fromEntries(await Promise.all(ports));
}

/** Runs a command to its end in the image. @returns what it prints. @throws unless its exit code is 0 */
async function runIn(image: string, config: ImageConfig, name: string, command: readonly string[], env = {}) {
  const container = await Container.start(command, { root: image, config, data: join(folder, name), env });
  const { code, output } = await container.ended();
  if (code !== 0) throw new Error(`exit code ${code}:\n${output}`);
  return output;
}

async function checkEmbedded(image: string, config: ImageConfig): Promise<void> {
  await check('read-only but for /data and /tmp', async () => {
    const tries = ['/app', '/project', '/etc', '/'].map((path) => `! touch ${path}/a 2>/dev/null`);
    const command = [...tries, 'touch /data/a /tmp/a', '! touch /keys/a 2>/dev/null'].join(' && ');
    await runIn(image, config, 'written', ['sh', '-c', command]);
  });
  const env = { ...(await portsFor(ROLES)), ACCESS_API_KEYS: KEY, ...LISTENING_HERE };
  const data = join(folder, 'embedded');
  const platform = await Container.start([...config.Entrypoint, ...config.Cmd], { root: image, config, data, env });
  await check('every role in one container, with embedded stores: ready', async () => {
    for (const role of ROLES) {
      await platform.answers(
        `http://127.0.0.1:${env[PORTS[role].variable as keyof typeof env]}/health/ready`,
        READY_MS,
      );
    }
  });
  await check('its health check', () => runIn(image, config, 'health', config.Healthcheck.Test.slice(1), env));
  await checkStop('it', platform, config);
}

/** Each role by itself, on the servers that Compose has. */
async function checkRoles(image: string, config: ImageConfig): Promise<void> {
  const servers = join(folder, 'servers');
  await mkdir(servers);
  const stack = await startStack(servers);
  try {
    const env = { ...stack.env, ACCESS_API_KEYS: KEY, ...LISTENING_HERE };
    await check('models register, models promote', async () => {
      const models = (...args: readonly string[]) =>
        runIn(image, config, 'command', [...PROGRAM, 'models', ...args], { ...env, LOG_LEVEL: 'warn' });
      await models('register', 'fraud_detector', '/project/models/fraud_detector');
      await models('promote', 'fraud_detector', '1', '--force');
    });
    for (const role of ROLES) {
      const own = { ...env, ...(await portsFor([role])), ROLES: role };
      const port = own[PORTS[role].variable as keyof typeof own];
      const data = join(folder, role);
      const container = await Container.start([...config.Entrypoint, ...config.Cmd], {
        root: image,
        config,
        data,
        env: own,
      });
      await check(`${role}: ready`, () => container.answers(`http://127.0.0.1:${port}/health/ready`, READY_MS));
      await check(`${role}: its health check`, () =>
        runIn(image, config, 'health', config.Healthcheck.Test.slice(1), own),
      );
      await checkStop(role, container, config);
    }
  } finally {
    await stack.stop();
  }
}

function checkStop(name: string, container: Container, { StopSignal = 'SIGTERM' }: ImageConfig): Promise<void> {
  return check(`${name} drains by ${StopSignal}`, async () => {
    const { code, ms } = await container.stop(StopSignal, GRACE_MS);
    const { output } = await container.ended();
    if (code !== 0) throw new Error(`exit code ${code} after ${ms.toFixed(0)} ms:\n${output}`);
    say(`after ${(ms / 1_000).toFixed(1)} s`);
  });
}
