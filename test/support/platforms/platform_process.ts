export { PlatformProcess, type PlatformUrls } from '#cli/project/platform_process';
